package projections

import "slices"

// Judged names a submission and the fold that judged it.
type Judged struct {
	Generation uint32
	Seq        uint64
	KeyID      string // that its signature facts name, "" for none
	Shard      string
}

// Needed lists the operators' events that decide how a generation judges a submission, ascending: what made the
// policies, the generations up to this one, the key, and the freezes of the shard and the key. A control state
// of these events alone judges the submission as the whole one does (ControlOf). Events after upTo are left out.
func (c *Control) Needed(j Judged, upTo uint64) []uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.genesis == nil {
		return nil
	}
	out := append([]uint64{c.genesis.Seq}, c.raised...)
	for _, r := range c.restored {
		out = append(out, r.Seq)
	}
	out = append(append(out, c.sched.needed(j.Generation)...), c.reg.needed(j)...)
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(seq uint64) bool { return seq == 0 || seq > upTo })
}

// needed lists the events that made the schedule of a generation.
func (s *schedules) needed(number uint32) (out []uint64) {
	g := s.generation(number)
	if g == nil {
		return nil
	}
	for i := range s.generations[:number] {
		other := &s.generations[i]
		out = append(out, other.Seq)
		if other.Dropped < g.Seq {
			out = append(out, other.Dropped)
		}
		for _, step := range other.Steps {
			out = append(out, s.policy(step.Policy[:]).Seq)
		}
	}
	for _, a := range s.applied {
		out = append(out, a.seq)
	}
	for _, a := range s.activations {
		if a.Seq > g.Seq {
			break
		}
		out = append(out, a.Seq)
		// that no submission came in between shows in the numbers of these events
		for seq := a.CountedTo + 1; a.CountedTo != 0 && seq < a.Seq; seq++ {
			out = append(out, seq)
		}
	}
	return out
}

// needed lists the events about the key, the freezes and the signature facts of a submission.
func (r *registry) needed(j Judged) (out []uint64) {
	if k := r.key(j.KeyID); k != nil {
		for _, t := range k.terms {
			out = append(out, t.Seq)
		}
		for _, v := range k.revoked {
			out = append(out, v.seq)
		}
		out = append(out, k.retired)
	}
	for _, s := range [...]frozenSubject{{FreezeAll, ""}, {FreezeShard, j.Shard}, {FreezeKey, j.KeyID}} {
		for _, i := range r.frozen[s] {
			out = append(out, r.freezes[i].Seq, r.freezes[i].Thawed)
		}
	}
	return append(out, r.disputes[j.Seq])
}
