package reads_test

import (
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// more than one read looks at
const many = 1005

// TestManySubmissionsOfGoneGeneration: an id with more submissions than one read looks at is refused as too far once
// the generation of then is dropped. It is not missing.
func TestManySubmissionsOfGoneGeneration(t *testing.T) {
	d := newDiary(t)
	conflicts := nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}
	replays := nodetest.Record{Shard: "b", Epoch: 1, Root: "r"}
	other := conflicts
	other.Wrong = true
	for i, r := range []nodetest.Record{conflicts, replays} {
		d.send(d.ledger.State.Cursor().Seq+1, "192.0.2.1", r)
		if i == 0 {
			r = other
		}
		for range many {
			d.send(d.ledger.State.Cursor().Seq+1, "192.0.2.1", r)
		}
	}
	asOf := d.ledger.State.Cursor().Seq
	d.recount(2, verify.DefaultPolicy(), 0)
	policy := verify.DefaultPolicy()
	policy.Params.TolD *= 2
	d.add(event.PolicyPublished, &event.PolicyPublishedV1{Policy: policy.Canonical(), Op: d.op()})
	id := policy.ID()
	d.add(event.PolicyApplied, &event.PolicyAppliedV1{Policy: id[:], Op: d.op()})
	d.recount(3, policy, 0)
	d.await(func() bool { g, _ := d.ledger.Gens.Get(1); return g == nil })
	for what, r := range map[string]nodetest.Record{"conflicts": conflicts, "replays": replays} {
		a, err := d.view(api.Read{}).Lookup(d.ctx, r.ID(), api.Then{AsOf: asOf})
		if p := problemOf(err); p.Code != wire.CodeBadRequest || p.Field != "as_of" {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
}

// TestHistoryOfManyFlips: the history of a record with more flips than one answer shows ends with the newest outcome,
// and the answer says that it leaves some out.
func TestHistoryOfManyFlips(t *testing.T) {
	d := newDiary(t)
	r := nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}
	first := d.ledger.State.Cursor().Seq + 1
	for range many {
		d.send(d.ledger.State.Cursor().Seq+1, "192.0.2.1", r)
	}
	since := d.ledger.Now().UnixNano() - 1
	d.add(event.KeyRevoked, &event.KeyRevokedV1{KeyId: d.key.ID, Since: since, Op: d.op()})
	d.recount(2, verify.DefaultPolicy(), 1)
	head := d.ledger.State.Cursor().Seq
	d.activate(1, 2, true)
	d.newest(r, first)
	a, err := d.view(api.Read{}).Lookup(d.ctx, r.ID(), api.Then{})
	d.must(err)
	if last := a.History[len(a.History)-1]; !a.More || last.Generation != 1 || !last.Accepted || last.FromSeq != head+1 {
		t.Errorf("more %v, the last of %d is %+v", a.More, len(a.History), last)
	}
	a, err = d.view(api.Read{}).Lookup(d.ctx, r.ID(), api.Then{AsOf: head})
	d.must(err)
	if last := a.History[len(a.History)-1]; !a.More || last.Generation != 2 || last.Accepted || last.FromSeq != head {
		t.Errorf("as of event %d more %v, the last of %d is %+v", head, a.More, len(a.History), last)
	}
}

// newest wants the newest submissions of a record, of which there are too many, in its answer and in its history. first
// is the first of all.
func (d *diary) newest(r nodetest.Record, first uint64) {
	d.Helper()
	const shown = 1000
	from, to := first+many-shown, first+many-1
	a, err := d.view(api.Read{}).Lookup(d.ctx, r.ID(), api.Then{})
	d.must(err)
	if !a.More || len(a.Events) != shown || a.Events[0] != from || a.Events[shown-1] != to {
		d.Errorf("more %v, %d events from %d to %d, want %d to %d", a.More, len(a.Events), a.Events[0],
			a.Events[len(a.Events)-1], from, to)
	}
	h, err := d.view(api.Read{}).History(d.ctx, r.ID())
	d.must(err)
	if s := h.Submissions; !h.More || len(s) != shown || s[0].Seq != from || s[shown-1].Seq != to {
		d.Errorf("more %v, the history of %d from %d to %d, want %d to %d", h.More, len(s), s[0].Seq, s[len(s)-1].Seq,
			from, to)
	}
}
