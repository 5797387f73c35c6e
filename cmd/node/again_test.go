package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

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

// TestOpensOnACopiedLog: a node that has copied the log opens again at once, and a stop meanwhile is no error.
func TestOpensOnACopiedLog(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	runs := 0
	run := func() error {
		if runs++; runs < 2*rebuildLimit {
			return fmt.Errorf("copy: %w", node.ErrSeeded)
		}
		return nil
	}
	if err := again(ctx, time.Hour, slog.New(slog.DiscardHandler), run); err != nil || runs != 2*rebuildLimit {
		t.Errorf("%d runs, then %v", runs, err)
	}
	stop()
	runs = 0
	if err := again(ctx, time.Hour, slog.New(slog.DiscardHandler), run); err != nil || runs != 1 {
		t.Errorf("stopped: %d runs, then %v", runs, err)
	}
}
