package operator

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Keys registers, revokes and retires the keys that sign records.
type Keys struct{ core *core }

// Keys lists the registered keys after an event, 0 for now.
func (kr *Keys) Keys(ctx context.Context, asOf uint64) ([]wire.KeyAnswer, error) {
	out := []wire.KeyAnswer{}
	for _, k := range kr.core.control().Keys(kr.core.at(asOf)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a, err := kr.keyAnswer(k, asOf)
		if err != nil {
			return nil, err
		}
		out = append(out, *a)
	}
	return out, nil
}

// Key gives one registered key after an event, 0 for now.
func (kr *Keys) Key(_ context.Context, id string, asOf uint64) (*wire.KeyAnswer, error) {
	k, ok := kr.core.control().Key(id, kr.core.at(asOf))
	if !ok {
		return nil, api.ErrNotFound
	}
	return kr.keyAnswer(k, asOf)
}

func (kr *Keys) keyAnswer(k projections.KeyRow, asOf uint64) (*wire.KeyAnswer, error) {
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
	held, ok := kr.core.Verifiers().Key(k.ID)
	a.Held = ok && held.HasMaterial()
	return a, kr.lastUse(a, asOf)
}

// lastUse looks for the last submission that a key signed, after an event, 0 for now. It reads the active generation,
// because a key signs in each what it signs in the others, apart from signatures that are disputed.
func (kr *Keys) lastUse(a *wire.KeyAnswer, asOf uint64) error {
	view := kr.core.Recounts.Serving().View()
	defer view.Close()
	var err error
	a.LastSeq, err = projections.LastByKey(view, a.KeyID, cmp.Or(asOf, projections.Latest))
	if err != nil || a.LastSeq == 0 {
		return err
	}
	row, err := projections.Row(view, a.LastSeq)
	a.LastUsed = wire.TimeNS(row.LogTime)
	return err
}

// AddKey registers a key, or gives a registered one other terms.
func (kr *Keys) AddKey(ctx context.Context, k api.NewKey, op wire.Op,
	meta api.Meta) (*wire.KeyAnswer, bool, error) {
	if err := cmp.Or(checkLength("owner", k.Owner, projections.MaxOwner),
		checkLength("comment", k.Comment, projections.MaxComment), checkPatterns("scope", k.Scope)); err != nil {
		return nil, false, err
	}
	if err := kr.core.current(ctx); err != nil {
		return nil, false, err
	}
	_, known := kr.core.control().Key(k.ID, kr.core.head())
	m := &event.KeyAddedV1{
		KeyId:       k.ID,
		Alg:         uint32(k.Alg),
		Public:      k.Public,
		Fingerprint: k.Fingerprint[:],
		Source:      "operator",
		Node:        kr.core.NodeID,
		Owner:       k.Owner,
		Scope:       k.Scope,
		NotBefore:   k.NotBefore,
		NotAfter:    k.NotAfter,
		Comment:     k.Comment,
		Op:          kr.core.op(op, meta),
	}
	seq, effect, err := kr.core.commit(ctx, event.KeyAdded, m)
	if err != nil {
		return nil, false, err
	}
	if effect != projections.Applied {
		if kr.core.control().OpSeq(op.OpID) == 0 {
			return nil, false,
				stale("key %s is revoked or retired, or has another fingerprint; its terms cannot be changed", k.ID)
		}
		if _, err := kr.core.firstEvent(event.KeyAdded, m); err != nil {
			return nil, false, err
		}
	}
	a, err := kr.Key(ctx, k.ID, 0)
	return a, !known && effect == projections.Applied && a != nil && a.Seq == seq, err
}

// checkLength returns an error for a text of more than most bytes.
func checkLength(field, text string, most int) error {
	if len(text) <= most {
		return nil
	}
	return wire.NewProblem(wire.CodeBadRequest, fmt.Sprintf("at most %d bytes", most)).WithField(field)
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

// RevokeKey makes the ledger ignore the signatures of a registered key from now on. A second revocation with an
// earlier since moves only that time. Any other one changes nothing.
func (kr *Keys) RevokeKey(ctx context.Context, id string, since int64, r wire.RevokeRequest,
	meta api.Meta) (*wire.RevokeAnswer, error) {
	if _, err := kr.core.knownKey(ctx, id); err != nil {
		return nil, err
	}
	if _, _, err := kr.core.commit(ctx, event.KeyRevoked, &event.KeyRevokedV1{
		KeyId: id,
		Since: since,
		Op:    kr.core.op(r.Op, meta),
	}); err != nil {
		return nil, err
	}
	k, _ := kr.core.control().Key(id, kr.core.head())
	if k.Revoked == 0 || since < k.RevokedSince {
		return nil, opIDReused(r.OpID)
	}
	return &wire.RevokeAnswer{KeyID: id, Seq: k.Revoked, Since: wire.TimeNS(k.RevokedSince)}, nil
}

// RetireKey ends a key as planned. A repetition changes nothing.
func (kr *Keys) RetireKey(ctx context.Context, id string, op wire.Op, meta api.Meta) (*wire.KeyAnswer, error) {
	k, err := kr.core.knownKey(ctx, id)
	if err != nil {
		return nil, err
	}
	if !k.Active() {
		return kr.Key(ctx, id, 0)
	}
	if _, _, err := kr.core.commit(ctx, event.KeyRetired, &event.KeyRetiredV1{
		KeyId: id,
		Op:    kr.core.op(op, meta),
	}); err != nil {
		return nil, err
	}
	if k, _ := kr.core.control().Key(id, kr.core.head()); k.Active() {
		return nil, opIDReused(op.OpID)
	}
	return kr.Key(ctx, id, 0)
}

// RetireSecret allows the nodes to forget the secret of a key that signs no more.
func (kr *Keys) RetireSecret(ctx context.Context, id string, op wire.Op,
	meta api.Meta) (*wire.KeyAnswer, error) {
	k, err := kr.core.knownKey(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case k.Alg != verify.HMACSHA256:
		return nil, stale("key %s is an %s key; the nodes hold no secret of it", id, k.Alg)
	case k.Active():
		return nil, stale("key %s still signs; retire or revoke it first", id)
	case k.SecretRetired != 0:
		return kr.Key(ctx, id, 0)
	}
	if _, _, err := kr.core.commit(ctx, event.KeySecretRetired, &event.KeySecretRetiredV1{
		KeyId: id,
		Op:    kr.core.op(op, meta),
	}); err != nil {
		return nil, err
	}
	if k, _ := kr.core.control().Key(id, kr.core.head()); k.SecretRetired == 0 {
		return nil, opIDReused(op.OpID)
	}
	return kr.Key(ctx, id, 0)
}
