package projections

import (
	"slices"

	"github.com/recount-ledger/recount/internal/verify"
)

// Key returns a key registered as of seq, with its state as of seq.
func (c *Control) Key(id string, seq uint64) (KeyRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k := c.reg.key(id)
	if k == nil || k.Seq > seq {
		return KeyRow{}, false
	}
	return k.at(seq), true
}

// Keys returns the keys registered as of seq, in the order of registration.
func (c *Control) Keys(seq uint64) []KeyRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []KeyRow
	for i := range c.reg.keys {
		if k := &c.reg.keys[i]; k.Seq <= seq {
			out = append(out, k.at(seq))
		}
	}
	return out
}

// NewestKey returns the event that registered the last key. The set of keys changed if it has changed.
func (c *Control) NewestKey() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reg.newest
}

// KeyByFingerprint returns a registered key, whatever its seq, so that a node can tell whether it needs to
// propose one.
func (c *Control) KeyByFingerprint(f [32]byte) (KeyRow, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.reg.byPrint[f]
	if !ok {
		return KeyRow{}, false
	}
	return c.reg.keys[i].at(^uint64(0)), true
}

// Freezes lists the freezes as of seq, oldest first, including thawed ones.
func (c *Control) Freezes(seq uint64) []FreezeRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := upTo(c.reg.freezes, func(f FreezeRow) bool { return f.Seq <= seq })
	for i := range out {
		if out[i].Thawed > seq {
			out[i].Thawed = 0
		}
	}
	return out
}

// Frozen returns the freeze that refuses a submission at event seq. ok is false if none does.
func (c *Control) Frozen(shard, key string, seq uint64) (row FreezeRow, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	f := c.reg.frozenAt(shard, key, seq)
	if f == nil {
		return FreezeRow{}, false
	}
	return *f, true
}

// KnownShards lists the registrations of known shards as of seq, oldest first.
func (c *Control) KnownShards(seq uint64) []KnownShards {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return upTo(c.reg.known, func(k KnownShards) bool { return k.Seq <= seq })
}

// ShardKnown reports whether a shard is known as of seq.
func (c *Control) ShardKnown(shard string, seq uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.ContainsFunc(c.reg.known, func(k KnownShards) bool {
		return k.Seq <= seq && slices.ContainsFunc(k.Patterns, func(p string) bool { return MatchShard(p, shard) })
	})
}

func (v generationView) RegisteredKey(id string, seq uint64) (verify.Alg, []byte, bool) {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	k := v.c.reg.key(id)
	if k == nil || k.Seq > seq {
		return 0, nil, false
	}
	return k.Alg, k.Public, true
}

func (v generationView) SecretRetired(id string) bool {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	k := v.c.reg.key(id)
	return k != nil && k.attested != 0
}

func (v generationView) Allowed(id, shard string, seq uint64, logTime int64) bool {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	return v.c.reg.allowedAt(id, shard, seq, logTime)
}

func (v generationView) Frozen(shard, key string, seq uint64) (FreezeRow, bool) {
	return v.c.Frozen(shard, key, seq)
}

func (v generationView) Revoked(id string, seq uint64, logTime int64) bool {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	return v.c.reg.revokedAt(v.c.sched.generation(v.number), id, seq, logTime)
}

// Disputed returns the event that disputes the facts of the submission at seq, or 0.
func (c *Control) Disputed(seq uint64) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reg.disputes[seq]
}

// Disputed ignores disputes that came after the generation was started, so that its rows stay the same however
// often they are folded again.
func (v generationView) Disputed(seq uint64) bool {
	v.c.mu.RLock()
	defer v.c.mu.RUnlock()
	at, ok := v.c.reg.disputes[seq]
	if !ok {
		return false
	}
	g := v.c.sched.generation(v.number)
	return g != nil && at < g.Seq
}
