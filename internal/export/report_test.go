package export

import (
	"fmt"
	"testing"
)

// TestBoard: a report has every check in its order, at most ten faults of each, and the number of the others.
func TestBoard(t *testing.T) {
	b := newBoard()
	b.begin(CheckEvents, "fine")
	b.not(CheckHMAC, "need the secret")
	b.begin(CheckKeys, "fine")
	for n := range mostFaults + 3 {
		b.fault(CheckKeys, "fault %d", n)
	}
	b.looked(CheckEvents)
	b.looked(CheckEvents)
	r := b.into(&Report{})
	if r.OK || len(r.Checks) != len(checkOrder) || !b.failed(CheckKeys) || b.failed(CheckEvents) {
		t.Errorf("%+v", r)
	}
	for i, l := range r.Checks {
		want := Line{Check: checkOrder[i], Result: ResultNot, Says: "an earlier check failed"}
		switch l.Check {
		case CheckEvents:
			want.Result, want.Says, want.Count = ResultOK, "fine", 2
		case CheckHMAC:
			want.Says = "need the secret"
		case CheckKeys:
			if l.Result != ResultFailed || len(l.Faults) != mostFaults || l.More != 3 || l.Faults[9] != "fault 9" {
				t.Errorf("%+v", l)
			}
			continue
		}
		if fmt.Sprint(l) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
	if r := newBoard().into(&Report{}); !r.OK {
		t.Error("nothing was checked, and that failed")
	}
}
