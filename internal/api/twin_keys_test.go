package api

import (
	"context"
	"slices"

	"github.com/recount-ledger/recount/wire"
)

// twinKeys keeps keys in a slice.
type twinKeys struct {
	*shared
	keys []wire.KeyAnswer
}

func (t *twinKeys) Keys(context.Context) ([]wire.KeyAnswer, error) {
	return append([]wire.KeyAnswer{}, t.keys...), t.fail
}

func (t *twinKeys) find(id string) *wire.KeyAnswer {
	i := slices.IndexFunc(t.keys, func(k wire.KeyAnswer) bool { return k.KeyID == id })
	if i < 0 {
		return nil
	}
	return &t.keys[i]
}

func (t *twinKeys) Key(_ context.Context, id string) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	return k, t.fail
}

func (t *twinKeys) AddKey(_ context.Context, k NewKey, op wire.Op, _ Meta) (*wire.KeyAnswer, bool, error) {
	t.operations = append(t.operations, op)
	if old := t.find(k.ID); old != nil {
		old.Owner, old.Scope = k.Owner, append([]string{}, k.Scope...)
		return old, false, t.fail
	}
	t.keys = append(t.keys, wire.KeyAnswer{KeyID: k.ID, Alg: k.Alg.String(), Fingerprint: "00", Status: wire.KeyActive, Owner: k.Owner,
		Scope: append([]string{}, k.Scope...), Seq: 3, TermsSeq: 3, At: wire.TimeNS(0), Source: "operator"})
	return t.find(k.ID), true, t.fail
}

func (t *twinKeys) end(id, status string, op wire.Op) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	t.operations = append(t.operations, op)
	k.Status, k.RetiredSeq = status, 4
	return k, t.fail
}

func (t *twinKeys) RetireKey(_ context.Context, id string, op wire.Op, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, op)
}

func (t *twinKeys) RetireSecret(_ context.Context, id string, op wire.Op, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, op)
}

func (t *twinKeys) RevokeKey(_ context.Context, id string, since int64, r wire.RevokeRequest, _ Meta) (*wire.RevokeAnswer, error) {
	if id == "unknown" {
		return nil, ErrNotFound
	}
	t.operations = append(t.operations, r.Op)
	return &wire.RevokeAnswer{KeyID: id, Seq: 7, Since: wire.TimeNS(since)}, t.fail
}

// twinFreezes keeps freezes in a slice.
type twinFreezes struct {
	*shared
	freezes []wire.FreezeAnswer
}

func (t *twinFreezes) Freezes(context.Context) ([]wire.FreezeAnswer, error) {
	return append([]wire.FreezeAnswer{}, t.freezes...), t.fail
}

func (t *twinFreezes) Freeze(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	t.operations = append(t.operations, r.Op)
	t.freezes = append(t.freezes, wire.FreezeAnswer{Seq: 5, At: wire.TimeNS(0), Scope: r.Scope, Subject: r.Subject, Reason: r.Reason})
	return &t.freezes[len(t.freezes)-1], t.fail
}

func (t *twinFreezes) Thaw(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	for i := range t.freezes {
		if f := &t.freezes[i]; f.Scope == r.Scope && f.Subject == r.Subject && f.ThawedSeq == 0 {
			f.ThawedSeq = 6
			return f, t.fail
		}
	}
	return nil, wire.NewProblem(wire.CodeStale, "nothing of this scope is frozen")
}

// twinShards keeps patterns of known shards in a slice.
type twinShards struct {
	*shared
	known []wire.KnownShardsAnswer
}

func (t *twinShards) KnownShards(context.Context) ([]wire.KnownShardsAnswer, error) {
	return append([]wire.KnownShardsAnswer{}, t.known...), t.fail
}

func (t *twinShards) AddKnownShards(_ context.Context, r wire.KnownShardsRequest, _ Meta) (*wire.KnownShardsAnswer, error) {
	t.operations = append(t.operations, r.Op)
	t.known = append(t.known, wire.KnownShardsAnswer{Seq: 7, At: wire.TimeNS(0), Patterns: r.Patterns})
	return &t.known[len(t.known)-1], t.fail
}
