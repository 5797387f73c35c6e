package api

import (
	"context"
	"slices"

	"github.com/recount-ledger/recount/wire"
)

// fakeKeys keeps keys in a slice.
type fakeKeys struct {
	*shared
	keys []wire.KeyAnswer
}

func (t *fakeKeys) Keys(context.Context, uint64) ([]wire.KeyAnswer, error) {
	return append([]wire.KeyAnswer{}, t.keys...), t.fail
}

func (t *fakeKeys) find(id string) *wire.KeyAnswer {
	i := slices.IndexFunc(t.keys, func(k wire.KeyAnswer) bool { return k.KeyID == id })
	if i < 0 {
		return nil
	}
	return &t.keys[i]
}

func (t *fakeKeys) Key(_ context.Context, id string, _ uint64) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	return k, t.fail
}

func (t *fakeKeys) AddKey(_ context.Context, k NewKey, op wire.Op, _ Meta) (*wire.KeyAnswer, bool, error) {
	t.operations = append(t.operations, op)
	if old := t.find(k.ID); old != nil {
		old.Owner, old.Scope = k.Owner, append([]string{}, k.Scope...)
		return old, false, t.fail
	}
	t.keys = append(t.keys, wire.KeyAnswer{KeyID: k.ID, Alg: k.Alg.String(), Fingerprint: "00", Status: wire.KeyActive, Owner: k.Owner,
		Scope: append([]string{}, k.Scope...), Seq: 3, TermsSeq: 3, At: wire.TimeNS(0), Source: "operator"})
	return t.find(k.ID), true, t.fail
}

func (t *fakeKeys) end(id, status string, op wire.Op) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	t.operations = append(t.operations, op)
	k.Status, k.RetiredSeq = status, 4
	return k, t.fail
}

func (t *fakeKeys) RetireKey(_ context.Context, id string, op wire.Op, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, op)
}

func (t *fakeKeys) RetireSecret(_ context.Context, id string, op wire.Op, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, op)
}

func (t *fakeKeys) RevokeKey(_ context.Context, id string, since int64, r wire.RevokeRequest, _ Meta) (*wire.RevokeAnswer, error) {
	if id == "unknown" {
		return nil, ErrNotFound
	}
	t.operations = append(t.operations, r.Op)
	return &wire.RevokeAnswer{KeyID: id, Seq: 7, Since: wire.TimeNS(since)}, t.fail
}

// fakeFreezes keeps freezes in a slice.
type fakeFreezes struct {
	*shared
	freezes []wire.FreezeAnswer
}

func (t *fakeFreezes) Freezes(context.Context, uint64) ([]wire.FreezeAnswer, error) {
	return append([]wire.FreezeAnswer{}, t.freezes...), t.fail
}

func (t *fakeFreezes) Freeze(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	t.operations = append(t.operations, r.Op)
	t.freezes = append(t.freezes, wire.FreezeAnswer{Seq: 5, At: wire.TimeNS(0), Scope: r.Scope, Subject: r.Subject, Reason: r.Reason})
	return &t.freezes[len(t.freezes)-1], t.fail
}

func (t *fakeFreezes) Thaw(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	for i := range t.freezes {
		if f := &t.freezes[i]; f.Scope == r.Scope && f.Subject == r.Subject && f.ThawedSeq == 0 {
			f.ThawedSeq = 6
			return f, t.fail
		}
	}
	return nil, wire.NewProblem(wire.CodeStale, "nothing of this scope is frozen")
}

// fakeShards keeps patterns of known shards in a slice.
type fakeShards struct {
	*shared
	known []wire.KnownShardsAnswer
}

func (t *fakeShards) KnownShards(context.Context, uint64) ([]wire.KnownShardsAnswer, error) {
	return append([]wire.KnownShardsAnswer{}, t.known...), t.fail
}

func (t *fakeShards) AddKnownShards(_ context.Context, r wire.KnownShardsRequest, _ Meta) (*wire.KnownShardsAnswer, error) {
	t.operations = append(t.operations, r.Op)
	t.known = append(t.known, wire.KnownShardsAnswer{Seq: 7, At: wire.TimeNS(0), Patterns: r.Patterns})
	return &t.known[len(t.known)-1], t.fail
}
