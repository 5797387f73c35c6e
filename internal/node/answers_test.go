package node_test

import (
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestAnswerHasClaim: the answer to a submission says which D_hat was claimed, for a first record and for its repetition.
func TestAnswerHasClaim(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	for _, record := range []nodetest.Record{{Shard: "alpha", Epoch: 1, Root: "r"}, {Shard: "alpha", Epoch: 2, Root: "r", Wrong: true}} {
		var claim wire.Nano
		for i := range 2 {
			a, err := c.Client.Submit(r.ctx, f.Sign(record))
			r.must(err)
			if a.DHat == nil || *a.DHat == 0 || i > 0 && (*a.DHat != claim || !a.Replayed) {
				t.Fatalf("answer %d: %+v", i, a)
			}
			claim = *a.DHat
		}
	}
}
