package reads_test

import (
	"testing"

	"github.com/recount-ledger/recount/internal/api"
)

// TestListOfFormerGeneration: a list that goes on under the generation it was begun with tells who answered each
// event at first and what is answered now, before and past the activation.
func TestListOfFormerGeneration(t *testing.T) {
	r := newRecounted(t)
	former, _ := r.ledger.Gens.Get(1)
	r.must(former.WaitSeq(r.ctx, revoked))
	want := "3: 1 accepted 200, was 1 accepted 200, now 2 accepted 200\n" +
		"4: 1 accepted 200, was 1 accepted 200, now 2 refused 403\n" +
		"5: 1 escalated 202, was 1 escalated 202, now 2 refused 403\n" +
		"9: 1 refused 403, was 2 refused 403, now 2 refused 403"
	if got, _ := r.list(r.view(api.Read{Generation: 1}), api.AuditQuery{}); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
