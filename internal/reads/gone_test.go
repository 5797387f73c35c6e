package reads

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestTooFar: a shard that is too far from an event is a problem that names the shard, the event and the list that has it.
func TestTooFar(t *testing.T) {
	v := &view{}
	err := v.noShard(&earlier{asOf: 7}, fmt.Errorf("shard %q: %w", "a", projections.ErrFar))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeBadRequest || p.Field != "as_of" ||
		!strings.HasPrefix(p.Detail, `shard "a" has more`) || !strings.Contains(p.Detail, "/v1/audit?as_of=7") {
		t.Errorf("%v", err)
	}
	if other := errors.New("other"); v.noShard(&earlier{}, other) != other {
		t.Error("another error is replaced")
	}
}

// TestStands: the last judgement that counts stands. Where all rows repeat one, the first of them was the judgement.
func TestStands(t *testing.T) {
	for rows, want := range map[string]int{"": -1, "c": -1, "cc": -1, "j": 0, "jr": 0, "jrc": 0, "jj": 1, "jjr": 1, "cj": 1, "r": 0,
		"rr": 0, "crr": 1, "rj": 1, "rjc": 1} {
		var then []outcome
		for _, row := range rows {
			o := outcome{row: projections.Result{Outcome: verify.Accepted, Replayed: row == 'r'}}
			if row == 'c' {
				o.row.Outcome = verify.Conflict
			}
			then = append(then, o)
		}
		if got := stands(then); got != want {
			t.Errorf("%q: %d, want %d", rows, got, want)
		}
	}
}
