package api

import (
	"context"
	"slices"

	"github.com/recount-ledger/recount/wire"
)

// registryTwin keeps keys, freezes and shards in slices.
type registryTwin struct {
	keys    []wire.KeyAnswer
	freezes []wire.FreezeAnswer
	known   []wire.KnownShardsAnswer
}

func (t *twin) Keys(context.Context) ([]wire.KeyAnswer, error) {
	return append([]wire.KeyAnswer{}, t.keys...), t.fail
}

func (t *twin) find(id string) *wire.KeyAnswer {
	i := slices.IndexFunc(t.keys, func(k wire.KeyAnswer) bool { return k.KeyID == id })
	if i < 0 {
		return nil
	}
	return &t.keys[i]
}

func (t *twin) Key(_ context.Context, id string) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	return k, t.fail
}

func (t *twin) AddKey(_ context.Context, k NewKey, act wire.Act, _ Meta) (*wire.KeyAnswer, bool, error) {
	t.acts = append(t.acts, act)
	if old := t.find(k.ID); old != nil {
		old.Owner, old.Scope = k.Owner, append([]string{}, k.Scope...)
		return old, false, t.fail
	}
	t.keys = append(t.keys, wire.KeyAnswer{KeyID: k.ID, Alg: k.Alg.String(), Fingerprint: "00", Status: wire.KeyActive, Owner: k.Owner,
		Scope: append([]string{}, k.Scope...), Seq: 3, TermsSeq: 3, At: wire.TimeNS(0), Source: "operator"})
	return t.find(k.ID), true, t.fail
}

func (t *twin) end(id, status string, act wire.Act) (*wire.KeyAnswer, error) {
	k := t.find(id)
	if k == nil {
		return nil, ErrNotFound
	}
	t.acts = append(t.acts, act)
	k.Status, k.RetiredSeq = status, 4
	return k, t.fail
}

func (t *twin) RetireKey(_ context.Context, id string, act wire.Act, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, act)
}

func (t *twin) RetireSecret(_ context.Context, id string, act wire.Act, _ Meta) (*wire.KeyAnswer, error) {
	return t.end(id, wire.KeyRetired, act)
}

func (t *twin) Freezes(context.Context) ([]wire.FreezeAnswer, error) {
	return append([]wire.FreezeAnswer{}, t.freezes...), t.fail
}

func (t *twin) Freeze(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	t.acts = append(t.acts, r.Act)
	t.freezes = append(t.freezes, wire.FreezeAnswer{Seq: 5, At: wire.TimeNS(0), Scope: r.Scope, Subject: r.Subject, Reason: r.Reason})
	return &t.freezes[len(t.freezes)-1], t.fail
}

func (t *twin) Thaw(_ context.Context, r wire.FreezeRequest, _ Meta) (*wire.FreezeAnswer, error) {
	for i := range t.freezes {
		if f := &t.freezes[i]; f.Scope == r.Scope && f.Subject == r.Subject && f.ThawedSeq == 0 {
			f.ThawedSeq = 6
			return f, t.fail
		}
	}
	return nil, wire.NewProblem(wire.CodeStale, "nothing of this scope is frozen")
}

func (t *twin) KnownShards(context.Context) ([]wire.KnownShardsAnswer, error) {
	return append([]wire.KnownShardsAnswer{}, t.known...), t.fail
}

func (t *twin) AddKnownShards(_ context.Context, r wire.KnownShardsRequest, _ Meta) (*wire.KnownShardsAnswer, error) {
	t.acts = append(t.acts, r.Act)
	t.known = append(t.known, wire.KnownShardsAnswer{Seq: 7, At: wire.TimeNS(0), Patterns: r.Patterns})
	return &t.known[len(t.known)-1], t.fail
}

func (t *registryTwin) Acts(_ context.Context, from uint64, limit int) (items []wire.ActItem, next uint64, err error) {
	for seq := from; seq <= 5; seq++ {
		if len(items) == limit {
			return items, seq, nil
		}
		items = append(items, wire.ActItem{Seq: seq, Kind: "frozen", Effect: wire.EffectApplied, About: map[string]any{}})
	}
	return items, 0, nil
}
