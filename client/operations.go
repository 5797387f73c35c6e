package client

import (
	"context"
	"iter"
	"strconv"

	"github.com/recount-ledger/recount/wire"
)

// OperationsPage lists operations from event seq on, at most limit (0: 100).
func (c *Client) OperationsPage(ctx context.Context, fromSeq uint64, limit int, r Read) (*wire.OperationsPage, error) {
	q := r.query()
	setSeq(q, "from_seq", fromSeq)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.OperationsPage](ctx, c, "/v1/operations", q)
}

// Operations iterates over all operations from event seq on, oldest first.
func (c *Client) Operations(ctx context.Context, fromSeq uint64, r Read) iter.Seq2[wire.OperationItem, error] {
	return func(yield func(wire.OperationItem, error) bool) {
		r := r // a second range begins again
		for next := fromSeq; ; {
			page, err := c.OperationsPage(ctx, next, 1000, r)
			if err != nil {
				yield(wire.OperationItem{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if next = page.NextSeq; next == 0 {
				return
			}
			r.MinSeq = max(r.MinSeq, page.AppliedSeq)
		}
	}
}
