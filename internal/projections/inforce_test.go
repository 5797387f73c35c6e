package projections

import (
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestInForce: the intervals say at every event the policy by which the generation that answers then judges it, each beginning
// where that changes and naming the operation that changed it, the same after the control state was read back.
func TestInForce(t *testing.T) {
	if got := NewControl().InForce(); got != nil {
		t.Errorf("before the genesis: %+v", got)
	}
	l := newLedger(t, verify.DefaultPolicy(), "one")
	tight, loose := verify.DefaultPolicy(), verify.DefaultPolicy()
	tight.Params.TolD, loose.Params.TolD = 10_000_000, 900_000_000
	first, tightID, looseID := verify.DefaultPolicy().ID(), l.publish(tight), l.publish(loose)
	apply := func(policy []byte, actor string) uint64 {
		l.now += day
		l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: policy, Op: &event.OpV1{Actor: actor}})
		return l.seq
	}
	activate := func(to, from uint32, rollback bool) uint64 {
		l.now += day
		l.message(event.GenerationActivated, &event.GenerationActivatedV1{Generation: to, From: from, Position: 1, Diff: make([]byte, 32), Rollback: rollback, Op: &event.OpV1{Actor: "bob"}})
		return l.seq
	}
	l.start(tightID, 3) // judges nothing new until it is activated, although it judges event 3 and later ones
	second := activate(2, 1, false)
	back := activate(1, 2, true)
	applied := apply(looseID, "alice")
	apply(looseID, "again") // changes nothing
	same := activate(2, 1, false)
	l.start(looseID, 1)
	activate(3, 2, false) // another generation, the same policy
	last := apply(tightID, "carol")

	type line struct {
		policy     [32]byte
		from, to   uint64
		began      Began
		generation uint32
		actor      string
	}
	want := []line{{first, 1, second, BeganGenesis, 1, ""}, {[32]byte(tightID), second, back, BeganActivated, 2, "bob"}, {first, back, applied, BeganRolledBack, 1, "bob"},
		{[32]byte(looseID), applied, last, BeganApplied, 1, "alice"}, {[32]byte(tightID), last, 0, BeganApplied, 3, "carol"}}
	for what, c := range map[string]*Control{"folded": l.ctrl, "read back": l.readBack()} {
		var got []line
		all := c.InForce()
		for _, i := range all {
			got = append(got, line{i.Policy, i.FromSeq, i.ToSeq, i.Began, i.Generation, i.Op.Actor})
			if i.FromTime != l.items[i.FromSeq-1].LogTime || i.ToSeq != 0 && i.ToTime != l.items[i.ToSeq-1].LogTime {
				t.Errorf("%s: the times of %+v are not those of its events", what, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", what, got, want)
		}
		for seq := uint64(1); seq <= l.seq; seq++ {
			p, _ := c.For(c.ActiveAfter(seq)).PolicyAt(seq)
			i := slices.IndexFunc(all, func(i Interval) bool { return i.FromSeq <= seq && (seq < i.ToSeq || i.ToSeq == 0) })
			if i < 0 || all[i].Policy != p.ID {
				t.Errorf("%s: event %d was judged by %x, not by that of interval %d", what, seq, p.ID, i)
			}
		}
	}
	if same <= applied {
		t.Error("the generation was not activated again")
	}
}

// readBack is the control state of l, loaded from its rows.
func (l *ledger) readBack() *Control {
	l.t.Helper()
	c, err := LoadControl(l.ctrlDB)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}
