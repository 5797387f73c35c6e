package main

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/recount-ledger/recount/internal/node"
)

// TestOpensAgainAFewTimes: a node whose derived/ is damaged every time ends after a few openings; any other end is the end.
func TestOpensAgainAFewTimes(t *testing.T) {
	for _, c := range []struct {
		err  error
		runs int
	}{{nil, 1}, {errors.New("x"), 1}, {fmt.Errorf("%w: block 7", node.ErrRebuild), rebuildLimit + 1}} {
		runs := 0
		err := again(t.Context(), 0, slog.New(slog.DiscardHandler), func() error {
			runs++
			return c.err
		})
		if runs != c.runs || !errors.Is(err, c.err) {
			t.Errorf("%v: %d runs, then %v", c.err, runs, err)
		}
	}
}
