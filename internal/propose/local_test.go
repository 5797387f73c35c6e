package propose

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// TestLocalIsNeverForwarded: a node that does not lead keeps a local event. It proposes the event once it leads, and
// otherwise says that nothing was proposed.
func TestLocalIsNeverForwarded(t *testing.T) {
	lost := errors.New("leadership lost")
	for name, tc := range map[string]struct {
		leader  int   // at the start; node 1 gets the event
		elected bool  // node 1 is elected while the event waits
		after   error // of the first proposal, which reaches the log all the same
		want    error
		entries int
	}{
		"leads":             {leader: 1, entries: 1},
		"follows":           {leader: 0, want: ErrNoLeader},
		"knows no leader":   {leader: -1, want: ErrNoLeader},
		"is elected":        {leader: 0, elected: true, entries: 1},
		"loses the leading": {leader: 1, after: lost, want: ErrUnknown, entries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
				w.elect(tc.leader)
				n := w.nodes[1]
				n.set(nil, func(context.Context) error {
					if tc.after != nil {
						w.elect(0)
					}
					return tc.after
				}, nil)
				done := make(chan error, 1)
				go func() {
					ev := submission("freeze")
					ev.Kind = event.Frozen
					_, err := n.packer.SubmitLocal(t.Context(), ev)
					done <- err
				}()
				synctest.Wait()
				if tc.elected {
					w.elect(1)
				}
				err := <-done
				if fails(t, err, tc.want); tc.want == nil && err != nil {
					t.Error(err)
				}
				if got := len(w.entries()); got != tc.entries {
					t.Errorf("%d entries, want %d", got, tc.entries)
				}
				if got := n.forwarded(); got != 0 {
					t.Errorf("forwarded %d times", got)
				}
			})
		})
	}
}

// TestLocalBesideOthers: while local events wait for leadership, as many as there are, what may be forwarded goes on to
// the leader.
func TestLocalBesideOthers(t *testing.T) {
	bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[1]
		const operations = maxInFlight + 1
		local := make(chan error, operations)
		for range operations {
			go func() {
				_, err := n.packer.SubmitLocal(t.Context(), submission("operation"))
				local <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		other := submit(t.Context(), n.packer, "record")
		other.good(t, w)
		if waited := time.Since(began); waited > 2*minBeside {
			t.Errorf("a record waited %v behind an operation", waited)
		}
		alone := make(chan error, 1)
		go func() {
			_, err := n.packer.SubmitAlone(t.Context(), submission("sum of refusals"))
			alone <- err
		}()
		if err := <-alone; err != nil {
			t.Error(err)
		}
		if got := n.forwarded(); got != 2 {
			t.Errorf("%d packs were forwarded, want 2", got)
		}
		w.elect(1)
		for range operations {
			if err := <-local; err != nil {
				t.Error(err)
			}
		}
		if got := n.forwarded(); got != 2 {
			t.Errorf("the operation was forwarded")
		}
	})
}
