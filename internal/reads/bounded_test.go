package reads_test

import (
	"context"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestLongReadsEndWithTheirContext: a read that walks many rows for one answer ends when its client is gone, within a
// thousand rows. A client that is still there gets the answer.
func TestLongReadsEndWithTheirContext(t *testing.T) {
	d := newDiary(t)
	record := nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}
	for range 2 * many { // the first of them is judged, and the others repeat it
		d.send(d.ledger.State.Cursor().Seq+1, "192.0.2.1", record)
	}
	view := d.view(api.Read{})
	then := api.Then{AsOf: d.ledger.State.Cursor().Seq - many}
	gone, cancel := context.WithCancel(d.ctx)
	cancel()
	for what, read := range map[string]func(ctx context.Context) error{
		"shard": func(ctx context.Context) error { return second(view.Shard(ctx, "a", then)) },
		"shards": func(ctx context.Context) error {
			return second(view.Shards(ctx, api.ShardsQuery{Limit: 1, Then: then}))
		},
		"record": func(ctx context.Context) error { return second(view.Lookup(ctx, record.ID(), then)) },
		"audit": func(ctx context.Context) error {
			q := api.AuditQuery{FromSeq: 1, Limit: 1, Outcome: wire.OutcomeConflict, Then: then}
			page, err := view.Audit(ctx, q)
			if len(page.Items) != 0 {
				t.Error("the list is not empty")
			}
			return err
		},
	} {
		if err := read(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, for a client that is gone: %v", what, err)
		}
		if err := read(d.ctx); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
