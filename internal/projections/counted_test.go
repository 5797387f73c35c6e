package projections

import (
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestActivationCountsAll: an activation that bounds new flips counts only when no submission came after the last event that
// was counted. Operators' events may, and a control state that was read back says the same.
func TestActivationCountsAll(t *testing.T) {
	tight := verify.DefaultPolicy()
	tight.Params.TolD = 1
	for name, c := range map[string]struct {
		between func(l *ledger)
		counted func(end uint64) uint64
		active  uint32
	}{
		"nothing between":     {func(*ledger) {}, func(end uint64) uint64 { return end }, 2},
		"an operator's event": {func(l *ledger) { l.addKey("more"); l.addKey("and more") }, func(end uint64) uint64 { return end }, 2},
		"a submission":        {func(l *ledger) { l.send(spec{shard: "s", root: "a", epoch: 2, dhat: "2.0", slope: 2}.body("one")) }, func(end uint64) uint64 { return end }, 1},
		"a submission, then an operator's event": {func(l *ledger) {
			l.send(spec{shard: "s", root: "a", epoch: 2, dhat: "2.0", slope: 2}.body("one"))
			l.addKey("more")
		}, func(end uint64) uint64 { return end }, 1},
		"counted beyond the end": {func(*ledger) {}, func(end uint64) uint64 { return end + 1 }, 1},
		"without a bound":        {func(l *ledger) { l.send(spec{shard: "s", root: "a", epoch: 2, dhat: "2.0", slope: 2}.body("one")) }, func(uint64) uint64 { return 0 }, 2},
	} {
		for _, reload := range []bool{false, true} {
			l := newLedger(t, verify.DefaultPolicy(), "one")
			l.send(spec{shard: "s", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
			l.start(l.publish(tight), 1)
			end := l.seq
			c.between(l)
			if reload {
				again, err := LoadControl(l.ctrlDB)
				if err != nil {
					t.Fatal(err)
				}
				l.ctrl = again
			}
			l.message(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1, Position: 1, Diff: make([]byte, 32),
				CountedTo: c.counted(end), Op: &event.OpV1{}})
			if got := l.ctrl.ActiveAfter(l.seq); got != c.active {
				t.Errorf("%s, read back %v: generation %d answers, want %d", name, reload, got, c.active)
			}
		}
	}
}
