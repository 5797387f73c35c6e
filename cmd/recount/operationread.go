package main

import (
	"context"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// eachOperation gives the operations that f selects to add, oldest first, and calls flush when there are no more for now.
func (a *app) eachOperation(ctx context.Context, c *client.Client, f *operationsFlags,
	add func(wire.OperationItem) error, flush func() error) error {
	from, count := f.from, 0
	for {
		page, err := withTimeout(ctx, a, func(ctx context.Context) (*wire.OperationsPage, error) {
			return c.OperationsPage(ctx, from, 1000, f.Read)
		})
		if err != nil {
			if f.follow && ctx.Err() != nil {
				return nil // an interrupt is the usual end
			}
			return err
		}
		for _, i := range page.Items {
			ok, done, err := f.takes(i)
			if err != nil || done {
				return err
			}
			from = max(from, i.Seq+1)
			if !ok {
				continue
			}
			if err := add(i); err != nil {
				return err
			}
			if count++; count == f.limit {
				return nil
			}
		}
		switch {
		case page.NextSeq != 0:
			from = page.NextSeq
		case !f.follow:
			return nil
		default:
			from = max(from, page.AppliedSeq+1)
			if err := flush(); err != nil {
				return err
			}
			if pause.For(ctx, lookEvery) != nil {
				return nil // an interrupt is the usual end
			}
		}
	}
}
