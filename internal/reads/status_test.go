package reads

import (
	"testing"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestStatuses: every reason that a fold can give has its status, and a word that a policy made up changes none.
func TestStatuses(t *testing.T) {
	refused := map[verify.Reason]int{
		verify.ReasonMalformed:       400,
		verify.ReasonSchema:          400,
		verify.ReasonIDMismatch:      400,
		verify.ReasonBadSignature:    401,
		verify.ReasonFrozen:          503,
		verify.ReasonEpochRegression: 409,
	}
	reasons := 0
	for reason := verify.Reason(0); reason < 255; reason++ {
		if _, err := verify.ParseReason(reason.String()); err != nil {
			continue
		}
		reasons++
		for outcome, want := range map[verify.Outcome]int{
			verify.Accepted:  200,
			verify.Escalated: 202,
			verify.Conflict:  409,
			verify.Refused:   403,
		} {
			if special := refused[reason]; outcome == verify.Refused && special != 0 {
				want = special
			} else if outcome == verify.Refused && reason == verify.ReasonConflict {
				continue // a conflict is an outcome of its own
			}
			r := projections.Result{Outcome: outcome, Reason: reason, RuleReason: "internal"}
			if got := statusOf(&r); got != want {
				t.Errorf("%s, %s: %d, want %d", outcome, reason, got, want)
			}
		}
	}
	if reasons < 10 {
		t.Errorf("%d reasons only", reasons)
	}
}
