package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/ledgertest"
)

// TestAlive: a node whose checks fail is alive, and one of whose checks does not return is not, and the check is named.
func TestAlive(t *testing.T) {
	no := func(context.Context) error { return errors.New("no") }
	if err := answer(t.Context(), []check{{"disk", no}, {"leader", no}}); err != nil {
		t.Errorf("a node that is not ready: %v", err)
	}
	held := make(chan struct{})
	defer close(held)
	ctx, cancel := context.WithCancel(t.Context())
	stuck := func(context.Context) error {
		cancel()
		<-held
		return nil
	}
	err := answer(ctx, []check{{"disk", no}, {"leader", stuck}, {"keys", no}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"leader"`) {
		t.Errorf("a node that hangs: %v", err)
	}
}

// TestAliveWhileItFolds: a node whose fold is behind is alive, although a check waits for the fold.
func TestAliveWhileItFolds(t *testing.T) {
	l := ledgertest.New(t)
	applied := func(ctx context.Context) error { return l.Gens.WaitIndex(ctx, 1<<40) }
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := answer(ctx, []check{{"applied", applied}, {"after it", applied}}); err != nil {
			t.Error(err)
		}
		cancel()
	}
}
