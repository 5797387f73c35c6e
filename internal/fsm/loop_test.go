package fsm

import (
	"context"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watched is derived/ with a watch on the reads that run ahead of the fold.
type watched struct {
	*Derived
	once  sync.Once
	ahead chan struct{} // closed when a batch is read whose predecessor is not folded yet
	wait  bool          // a fold waits for such a read
}

func (w *watched) read(ctx context.Context, at Cursor, target uint64) (*batch, error) {
	if at != w.Derived.cursor() {
		w.once.Do(func() { close(w.ahead) })
	}
	return w.Derived.read(ctx, at, target)
}

func (w *watched) fold(ctx context.Context, b *batch) error {
	if w.wait {
		select {
		case <-w.ahead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return w.Derived.fold(ctx, b)
}

// TestPipelineForMany: nothing is read ahead of the fold while few entries wait, or while many wait that come in one
// batch. Many batches are read while others are folded.
func TestPipelineForMany(t *testing.T) {
	logs := history(t, 30)
	for name, c := range map[string]struct {
		entries, batch int
		pipeline       bool
	}{
		"one entry":         {1, 1, false},
		"few entries":       {fewEntries + 1, 1, false}, // few are left after the first
		"many entries":      {fewEntries + 2, 1, true},
		"many in one batch": {len(logs), DefaultBatchBytes, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, vfs.NewMem(), c.batch)
			defer m.close()
			m.store(logs)
			m.log.CommittedTo(uint64(c.entries))
			w := &watched{Derived: m.derived, ahead: make(chan struct{}), wait: c.pipeline}
			m.must(catchUp(t.Context(), w, uint64(c.entries)))
			select {
			case <-w.ahead:
				if !c.pipeline {
					t.Error("a batch was read ahead of the fold")
				}
			default:
			}
			if got := m.derived.Cursor().Index; got != uint64(c.entries) {
				t.Errorf("folded to entry %d, want %d", got, c.entries)
			}
		})
	}
}
