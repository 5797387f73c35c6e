package restore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
)

// agents submit new records until they are stopped. No submission may fail.
type agents struct {
	mu    sync.Mutex
	acked []string // ids, in the order of their answers
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func startAgents(t *testing.T, s *source, n int) *agents {
	ctx, cancel := context.WithCancel(t.Context())
	a := &agents{stop: cancel}
	for agent := range n {
		a.done.Go(func() {
			for i := int64(1); ctx.Err() == nil; i++ {
				r := nodetest.Record{Shard: fmt.Sprintf("agent-%d", agent), Epoch: i, Root: "r"}
				if _, err := s.Client.Submit(t.Context(), s.records.Sign(r)); err != nil {
					t.Errorf("a submission beside a backup: %v", err)
					return
				}
				a.mu.Lock()
				a.acked = append(a.acked, r.ID())
				a.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); a.done.Wait() })
	return a
}

func (a *agents) answered() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked[:len(a.acked):len(a.acked)]
}

// TestBackupUnderLoad backs up three nodes in turn while records come in. Every backup is good and has what was acknowledged
// before it began. A cluster that is founded with the last one answers all of that.
func TestBackupUnderLoad(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	a := startAgents(t, s, 4)
	for round := range 4 {
		s.Await("more records", func() error {
			if n := len(a.answered()); n < 150*(round+1) {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		before := a.answered()
		m := s.backup(round % 3)
		report, err := restore.Verify(ctx, s.target, m, t.TempDir(), quiet)
		must(t, err)
		for i := range 3 {
			d, err := s.At(i).Digest(ctx, m.Position.Seq)
			must(t, err)
			if d.Log != report.Digest.Log || d.State != report.Digest.State || d.Control != report.Digest.Control {
				t.Errorf("node %d has %+v, the backup %+v", i+1, d, report.Digest)
			}
		}
		if round < 3 {
			continue
		}
		a.stop()
		a.done.Wait()
		r, err := restore.Restore(ctx, s.options(m))
		must(t, err)
		c := start(t, r)
		for _, id := range before {
			if _, err := c.Client.Get(ctx, id, client.Read{}); err != nil {
				t.Errorf("an acknowledged record: %v", err)
			}
		}
		after := a.answered()
		if _, err := c.Client.Get(ctx, after[len(after)-1], client.Read{}); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("a record of after the backup: %v", err)
		}
	}
}
