package client

import (
	"context"
	"iter"
	"strconv"

	"github.com/recount-ledger/recount/wire"
)

// ActsPage lists operators' operations from event seq on, at most limit (0: 100).
func (c *Client) ActsPage(ctx context.Context, fromSeq uint64, limit int, r Read) (*wire.ActsPage, error) {
	q := r.query()
	setSeq(q, "from_seq", fromSeq)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[wire.ActsPage](ctx, c, "/v1/acts", q)
}

// Acts iterates over all operations from event seq on, oldest first.
func (c *Client) Acts(ctx context.Context, fromSeq uint64, r Read) iter.Seq2[wire.ActItem, error] {
	return func(yield func(wire.ActItem, error) bool) {
		for {
			page, err := c.ActsPage(ctx, fromSeq, 1000, r)
			if err != nil {
				yield(wire.ActItem{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if fromSeq = page.NextSeq; fromSeq == 0 {
				return
			}
		}
	}
}
