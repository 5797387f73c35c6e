package projections

import (
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// Decisions and changes of the kinds about keys, freezes, known shards and disputed facts. The state is in registry.

func decideKeyAdded(c *Control, _ *operator, m *event.KeyAddedV1) Effect {
	k, ok := keyOf(m)
	if !ok {
		return Ignored
	}
	present := c.reg.key(k.ID)
	if present == nil {
		return Applied
	}
	if m.Op == nil || present.Fingerprint != k.Fingerprint || !present.standing() {
		return Repeated
	}
	return Applied // an operator changes the terms
}

func applyKeyAdded(c *Control, o *operator, m *event.KeyAddedV1) {
	r := &c.reg
	k, _ := keyOf(m)
	k.terms[0].Seq = o.seq
	if present := r.key(k.ID); present != nil {
		present.terms = append(present.terms, k.terms[0])
		return
	}
	k.Seq, k.LogTime = o.seq, o.logTime
	r.byID[k.ID], r.byPrint[k.Fingerprint] = len(r.keys), len(r.keys)
	r.keys, r.newest = append(r.keys, k), o.seq
}

// decideKeyRevoked applies the first revocation, and later ones with an earlier compromise time.
func decideKeyRevoked(c *Control, _ *operator, m *event.KeyRevokedV1) Effect {
	k := c.reg.key(m.KeyId)
	if k == nil {
		return Ignored
	}
	if n := len(k.revoked); n > 0 && m.Since >= k.revoked[n-1].since {
		return Repeated
	}
	return Applied
}

func applyKeyRevoked(c *Control, o *operator, m *event.KeyRevokedV1) {
	k := c.reg.key(m.KeyId)
	k.revoked = append(k.revoked, revocation{seq: o.seq, since: m.Since})
}

func decideKeyRetired(c *Control, _ *operator, m *event.KeyRetiredV1) Effect {
	switch k := c.reg.key(m.KeyId); {
	case k == nil:
		return Ignored
	case !k.standing():
		return Repeated
	}
	return Applied
}

func applyKeyRetired(c *Control, o *operator, m *event.KeyRetiredV1) {
	c.reg.key(m.KeyId).retired = o.seq
}

// decideKeySecretRetired requires an HMAC key that can no longer sign.
func decideKeySecretRetired(c *Control, _ *operator, m *event.KeySecretRetiredV1) Effect {
	switch k := c.reg.key(m.KeyId); {
	case k == nil || k.Alg != verify.HMACSHA256 || k.standing():
		return Ignored
	case k.attested != 0:
		return Repeated
	}
	return Applied
}

func applyKeySecretRetired(c *Control, o *operator, m *event.KeySecretRetiredV1) {
	c.reg.key(m.KeyId).attested = o.seq
}

func decideFrozen(c *Control, _ *operator, m *event.FrozenV1) Effect {
	scope := FreezeScope(m.Scope)
	switch {
	case scope > FreezeKey || (scope == FreezeAll) != (m.Subject == ""):
		return Ignored
	case c.reg.freeze(scope, m.Subject) != nil:
		return Repeated
	}
	return Applied
}

func applyFrozen(c *Control, o *operator, m *event.FrozenV1) {
	r, s := &c.reg, frozenSubject{FreezeScope(m.Scope), m.Subject}
	r.held, r.frozen[s] = append(r.held, len(r.freezes)), append(r.frozen[s], len(r.freezes))
	r.freezes = append(r.freezes, FreezeRow{
		Seq:     o.seq,
		LogTime: o.logTime,
		Scope:   s.scope,
		Subject: s.subject,
		Op:      opOf(m.Op),
	})
}

func decideThawed(c *Control, _ *operator, m *event.ThawedV1) Effect {
	if c.reg.freeze(FreezeScope(m.Scope), m.Subject) == nil {
		return Ignored
	}
	return Applied
}

func applyThawed(c *Control, o *operator, m *event.ThawedV1) {
	r := &c.reg
	r.freeze(FreezeScope(m.Scope), m.Subject).Thawed, r.lastThaw = o.seq, o.seq
	r.held = slices.DeleteFunc(r.held, func(i int) bool { return r.freezes[i].Thawed != 0 })
}

func decideShardsKnown(_ *Control, _ *operator, m *event.ShardsKnownV1) Effect {
	if len(m.Patterns) == 0 || !patternsFit(m.Patterns) {
		return Ignored
	}
	return Applied
}

func applyShardsKnown(c *Control, o *operator, m *event.ShardsKnownV1) {
	c.reg.known = append(c.reg.known, KnownShards{
		Seq:      o.seq,
		LogTime:  o.logTime,
		Patterns: slices.Clone(m.Patterns),
		Op:       opOf(m.Op),
	})
}

func decideFactsDisputed(c *Control, o *operator, m *event.FactsDisputedV1) Effect {
	switch {
	case m.Seq == 0 || m.Seq >= o.seq || len(m.Voters) == 0:
		return Ignored
	case c.reg.disputes[m.Seq] != 0:
		return Repeated
	}
	return Applied
}

func applyFactsDisputed(c *Control, o *operator, m *event.FactsDisputedV1) {
	c.reg.disputes[m.Seq] = o.seq
}
