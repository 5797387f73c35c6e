package main

import (
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestTrialSaysWhatCounts: a record that is escalated before and after changes when it counts only once.
func TestTrialSaysWhatCounts(t *testing.T) {
	tried := &trial{counts: map[string]int{}}
	for _, before := range []standing{{"escalated", true}, {"escalated", false}, {"accepted", true}} {
		if err := tried.add(1, &pcs.Record{}, verify.Facts{}, before, verify.Verdict{
			Outcome: verify.Escalated,
		}); err != nil {
			t.Fatal(err)
		}
	}
	const change = "escalated, counts->escalated, does not count"
	if tried.counts[change] != 1 || tried.counts["accepted->escalated"] != 1 || len(tried.counts) != 2 {
		t.Errorf("%v", tried.counts)
	}
}
