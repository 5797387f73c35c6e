package projections

import "sort"

// allowedAt reports whether the terms of a key permit a submission to a shard. A retired key permits none.
func (r *registry) allowedAt(id, shard string, seq uint64, logTime int64) bool {
	k := r.key(id)
	return k != nil && k.Seq <= seq && (k.retired == 0 || seq <= k.retired) && k.termsAt(seq).allows(shard, logTime)
}

// revokedAt reports whether key id is revoked for an event. In a generation g with hindsight it also applies
// the compromise times that were known when g started. With a nil g, no hindsight is applied.
func (r *registry) revokedAt(g *GenerationRow, id string, seq uint64, logTime int64) bool {
	k := r.key(id)
	if k == nil || len(k.revoked) == 0 {
		return false
	}
	if k.revoked[0].seq < seq {
		return true
	}
	if g == nil || g.Keys != KeysHindsight || seq > g.Seq {
		return false
	}
	for _, v := range k.revoked {
		if v.seq <= g.Seq && logTime >= v.since {
			return true
		}
	}
	return false
}

// frozenAt returns the freeze that refuses a submission at event seq, the first if there are several, or nil.
// It looks up the subjects that a submission has, and walks no list.
func (r *registry) frozenAt(shard, key string, seq uint64) (first *FreezeRow) {
	if len(r.held) == 0 && seq > r.lastThaw {
		return nil
	}
	for _, s := range [...]frozenSubject{{FreezeAll, ""}, {FreezeShard, shard}, {FreezeKey, key}} {
		if f := r.freezeAt(s, seq); f != nil && (first == nil || f.Seq < first.Seq) {
			first = f
		}
	}
	return first
}

// freezeAt returns the freeze of a subject in force at event seq. Only the last one before the event can be.
func (r *registry) freezeAt(s frozenSubject, seq uint64) *FreezeRow {
	of := r.frozen[s]
	i := sort.Search(len(of), func(i int) bool { return r.freezes[of[i]].Seq >= seq })
	if i == 0 {
		return nil
	}
	if f := &r.freezes[of[i-1]]; f.Thawed == 0 || seq < f.Thawed {
		return f
	}
	return nil
}
