package node

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestReasonsHaveWords: what a key's state decided is said, and a text of the fold goes first.
func TestReasonsHaveWords(t *testing.T) {
	for reason, want := range map[verify.Reason]string{verify.ReasonKeyRevoked: "signed it is revoked", verify.ReasonKeyNotAllowed: "do not allow this shard", verify.ReasonBadSignature: "no registered key"} {
		r := projections.Result{Reason: reason, KeyID: "hmac-1"}
		if got := (&Node{}).submitAnswer(r).Reason; !strings.Contains(got, want) || strings.Contains(got, "hmac-1") {
			t.Errorf("%s: %q", reason, got)
		}
		r.Detail = "said by the fold"
		if got := reasonText(&r); got != r.Detail {
			t.Errorf("%s: %q", reason, got)
		}
	}
	if got := reasonText(&projections.Result{Reason: verify.ReasonOK}); got != "" {
		t.Error(got)
	}
}
