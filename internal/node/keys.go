package node

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Keys lists the registered keys.
func (n ledger) Keys(context.Context) ([]wire.KeyAnswer, error) {
	out := []wire.KeyAnswer{}
	for _, k := range n.derived.Control().Keys(n.derived.Cursor().Seq) {
		a, err := n.reader.keyAnswer(k)
		if err != nil {
			return nil, err
		}
		out = append(out, *a)
	}
	return out, nil
}

// Key gives one registered key.
func (n ledger) Key(_ context.Context, id string) (*wire.KeyAnswer, error) {
	k, ok := n.derived.Control().Key(id, n.derived.Cursor().Seq)
	if !ok {
		return nil, api.ErrNotFound
	}
	return n.reader.keyAnswer(k)
}

func (rd *reader) keyAnswer(k projections.KeyRow) (*wire.KeyAnswer, error) {
	a := &wire.KeyAnswer{
		KeyID:         k.ID,
		Alg:           k.Alg.String(),
		Fingerprint:   hex.EncodeToString(k.Fingerprint[:]),
		Status:        wire.KeyActive,
		Owner:         k.Terms.Owner,
		Scope:         append([]string{}, k.Terms.Scope...),
		Comment:       k.Terms.Comment,
		Seq:           k.Seq,
		TermsSeq:      k.Terms.Seq,
		At:            wire.TimeNS(k.LogTime),
		Source:        k.Source,
		RetiredSeq:    k.Retired,
		RevokedSeq:    k.Revoked,
		SecretRetired: k.SecretRetired,
	}
	if k.Public != nil {
		a.Public = base64.StdEncoding.EncodeToString(k.Public)
	}
	if k.Terms.NotBefore != 0 {
		a.NotBefore = wire.TimeNS(k.Terms.NotBefore)
	}
	if k.Terms.NotAfter != 0 {
		a.NotAfter = wire.TimeNS(k.Terms.NotAfter)
	}
	if k.Retired != 0 {
		a.Status = wire.KeyRetired
	}
	if k.Revoked != 0 {
		a.Status, a.RevokedSince = wire.KeyRevoked, wire.TimeNS(k.RevokedSince)
	}
	held, ok := rd.keys.verifiers().Key(k.ID)
	a.Held = ok && held.HasMaterial()
	return a, rd.lastUse(a)
}

// lastUse looks for the last submission that a key signed.
func (rd *reader) lastUse(a *wire.KeyAnswer) error {
	view := rd.gens.Serving().View()
	defer view.Close()
	var err error
	if a.LastSeq, err = projections.LastByKey(view, a.KeyID); err != nil || a.LastSeq == 0 {
		return err
	}
	row, err := projections.Row(view, a.LastSeq)
	a.LastUsed = wire.TimeNS(row.LogTime)
	return err
}

// AddKey registers a key, or gives a registered one other terms.
func (n ledger) AddKey(ctx context.Context, k api.NewKey, act wire.Op, meta api.Meta) (*wire.KeyAnswer, bool, error) {
	if len(k.Owner) > projections.MaxOwner || len(k.Comment) > projections.MaxComment {
		return nil, false, wire.NewProblem(wire.CodeBadRequest,
			fmt.Sprintf("at most %d bytes for the owner and %d for the comment",
				projections.MaxOwner, projections.MaxComment)).WithField("owner")
	}
	if err := checkPatterns("scope", k.Scope); err != nil {
		return nil, false, err
	}
	if err := n.ops.current(ctx); err != nil {
		return nil, false, err
	}
	_, known := n.derived.Control().Key(k.ID, n.derived.Cursor().Seq)
	m := &event.KeyAddedV1{
		KeyId:       k.ID,
		Alg:         uint32(k.Alg),
		Public:      k.Public,
		Fingerprint: k.Fingerprint[:],
		Source:      "operator",
		Node:        n.cfg.NodeID,
		Owner:       k.Owner,
		Scope:       k.Scope,
		NotBefore:   k.NotBefore,
		NotAfter:    k.NotAfter,
		Comment:     k.Comment,
		Op:          n.ops.op(act, meta),
	}
	seq, effect, err := n.ops.act(ctx, event.KeyAdded, m)
	if err != nil {
		return nil, false, err
	}
	if effect != projections.Applied {
		if n.derived.Control().OpSeq(act.OpID) == 0 {
			return nil, false,
				stale("key %s is revoked or retired, or has another fingerprint; its terms cannot be changed", k.ID)
		}
		if _, err := n.ops.firstOf(event.KeyAdded, m); err != nil {
			return nil, false, err
		}
	}
	a, err := n.Key(ctx, k.ID)
	return a, !known && effect == projections.Applied && a != nil && a.Seq == seq, err
}

// checkPatterns returns an error for the first pattern of shard ids that cannot be used.
func checkPatterns(field string, patterns []string) error {
	if len(patterns) > projections.MaxPatterns {
		return wire.NewProblem(wire.CodeBadRequest,
			fmt.Sprintf("at most %d patterns", projections.MaxPatterns)).WithField(field)
	}
	for i, p := range patterns {
		if why := projections.CheckPattern(p); why != "" {
			return wire.NewProblem(wire.CodeBadRequest,
				"a pattern is a shard id, or its beginning and a star; this one "+
					why).WithField(fmt.Sprintf("%s[%d]", field, i))
		}
	}
	return nil
}

// knownKey waits for what other nodes have acknowledged and looks for the key.
func (n ledger) knownKey(ctx context.Context, id string) (projections.KeyRow, error) {
	if err := n.ops.current(ctx); err != nil {
		return projections.KeyRow{}, err
	}
	k, ok := n.derived.Control().Key(id, n.derived.Cursor().Seq)
	if !ok {
		return k, api.ErrNotFound
	}
	return k, nil
}

// RevokeKey makes the ledger ignore the signatures of a registered key from now on. A second revocation with an
// earlier since moves only that time. Any other one changes nothing.
func (n ledger) RevokeKey(ctx context.Context, id string, since int64, r wire.RevokeRequest,
	meta api.Meta) (*wire.RevokeAnswer, error) {
	if _, err := n.knownKey(ctx, id); err != nil {
		return nil, err
	}
	if _, _, err := n.ops.act(ctx, event.KeyRevoked, &event.KeyRevokedV1{
		KeyId: id,
		Since: since,
		Op:    n.ops.op(r.Op, meta),
	}); err != nil {
		return nil, err
	}
	k, _ := n.derived.Control().Key(id, n.derived.Cursor().Seq)
	if k.Revoked == 0 {
		return nil, stale("the op_id %q was used for something else", r.OpID)
	}
	return &wire.RevokeAnswer{KeyID: id, Seq: k.Revoked, Since: wire.TimeNS(k.RevokedSince)}, nil
}

// RetireKey ends a key as planned. A repetition changes nothing.
func (n ledger) RetireKey(ctx context.Context, id string, act wire.Op, meta api.Meta) (*wire.KeyAnswer, error) {
	k, err := n.knownKey(ctx, id)
	if err != nil {
		return nil, err
	}
	if !k.Active() {
		return n.Key(ctx, id)
	}
	if _, _, err := n.ops.act(ctx, event.KeyRetired, &event.KeyRetiredV1{
		KeyId: id,
		Op:    n.ops.op(act, meta),
	}); err != nil {
		return nil, err
	}
	if k, _ := n.derived.Control().Key(id, n.derived.Cursor().Seq); k.Active() {
		return nil, stale("the op_id %q was used for something else", act.OpID)
	}
	return n.Key(ctx, id)
}

// RetireSecret allows the nodes to forget the secret of a key that signs no more.
func (n ledger) RetireSecret(ctx context.Context, id string, act wire.Op, meta api.Meta) (*wire.KeyAnswer, error) {
	k, err := n.knownKey(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case k.Alg != verify.HMACSHA256:
		return nil, stale("key %s is an %s key; the nodes hold no secret of it", id, k.Alg)
	case k.Active():
		return nil, stale("key %s still signs; retire or revoke it first", id)
	case k.SecretRetired != 0:
		return n.Key(ctx, id)
	}
	if _, _, err := n.ops.act(ctx, event.KeySecretRetired, &event.KeySecretRetiredV1{
		KeyId: id,
		Op:    n.ops.op(act, meta),
	}); err != nil {
		return nil, err
	}
	if k, _ := n.derived.Control().Key(id, n.derived.Cursor().Seq); k.SecretRetired == 0 {
		return nil, stale("the op_id %q was used for something else", act.OpID)
	}
	return n.Key(ctx, id)
}

// keyWarnAge is the age at which an active key should have been rotated.
const keyWarnAge = 90 * 24 * time.Hour

// oldestKey returns the age of the oldest active key, 0 when there is none.
func (rd *reader) oldestKey() time.Duration {
	oldest, now := time.Duration(0), rd.clock.now().UnixNano()
	for _, k := range rd.derived.Control().Keys(rd.derived.Cursor().Seq) {
		if k.Active() {
			oldest = max(oldest, time.Duration(now-k.LogTime))
		}
	}
	return oldest
}

// longestUnused returns the longest time for which an active key has signed nothing. A key that never signed
// counts from its registration.
func (rd *reader) longestUnused() time.Duration {
	view := rd.gens.Serving().View()
	defer view.Close()
	longest, now := time.Duration(0), rd.clock.now().UnixNano()
	for _, k := range rd.derived.Control().Keys(rd.derived.Cursor().Seq) {
		if !k.Active() {
			continue
		}
		used := k.LogTime
		if seq, err := projections.LastByKey(view, k.ID); err == nil && seq != 0 {
			if row, err := projections.Row(view, seq); err == nil {
				used = row.LogTime
			}
		}
		longest = max(longest, time.Duration(now-used))
	}
	return longest
}

// warnOldKeys logs once a day, and at the start, the active keys that are older than keyWarnAge.
func (rd *reader) warnOldKeys(ctx context.Context) error {
	for {
		now := rd.clock.now().UnixNano()
		for _, k := range rd.derived.Control().Keys(rd.derived.Cursor().Seq) {
			if age := time.Duration(now - k.LogTime); k.Active() && age > keyWarnAge {
				rd.log.Warn("a signing key is older than 90 days; rotate it", "key", k.ID, "days", int(age.Hours()/24))
			}
		}
		if err := pause(ctx, 24*time.Hour); err != nil {
			return err
		}
	}
}
