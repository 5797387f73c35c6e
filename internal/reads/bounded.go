package reads

import (
	"context"

	"github.com/recount-ledger/recount/internal/projections"
)

// lookEvery is the number of rows between two looks at the context of a read.
const lookEvery = 1000

// bounded reads rows until its context ends. A read as of an event walks many rows for one answer, and nobody waits for
// that answer any more once the client is gone or the time is up.
type bounded struct {
	projections.Store
	ctx  context.Context
	rows int
}

func until(ctx context.Context, s projections.Store) *bounded { return &bounded{Store: s, ctx: ctx} }

// Get returns the value of key, nil if there is none, or the error of the context.
func (b *bounded) Get(key []byte) ([]byte, error) {
	if err := b.look(); err != nil {
		return nil, err
	}
	return b.Store.Get(key)
}

// Scan calls fn for the rows in [lo, hi) until fn returns false or the context ends.
func (b *bounded) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	var ended error
	err := b.Store.Scan(lo, hi, reverse, func(k, v []byte) bool {
		if ended = b.look(); ended != nil {
			return false
		}
		return fn(k, v)
	})
	if ended != nil {
		return ended
	}
	return err
}

// look counts a row and returns the error of the context now and then.
func (b *bounded) look() error {
	if b.rows++; b.rows%lookEvery != 0 {
		return nil
	}
	return b.ctx.Err()
}
