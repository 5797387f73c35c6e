package propose

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

func TestForward(t *testing.T) {
	bubble(t, 3, 1<<20, func(t *testing.T, w *world) {
		open := gate(w.nodes[0])
		calls := []*call{submit(t.Context(), w.nodes[0].packer, "own")}
		synctest.Wait()
		for i := range 10 {
			calls = append(calls, submit(t.Context(), w.nodes[1+i%2].packer, fmt.Sprint("forwarded ", i)))
		}
		synctest.Wait()
		<-time.After(2 * minBeside)
		open()
		for _, c := range calls {
			c.good(t, w)
		}
		if w.nodes[0].forwarded() != 0 || w.nodes[1].forwarded() == 0 || w.nodes[2].forwarded() == 0 {
			t.Error("who forwarded is wrong")
		}
	})
}

// TestForwardOnce: a pack that reaches a node which stops leading is refused, not sent on; its sender finds the new leader.
func TestForwardOnce(t *testing.T) {
	bubble(t, 3, 1<<20, func(t *testing.T, w *world) {
		old := w.nodes[0]
		old.set(func(context.Context) error {
			w.elect(2)
			return nil
		}, nil, nil)
		c := submit(t.Context(), w.nodes[1].packer, "wanderer")
		c.good(t, w)
		if n := old.forwarded(); n != 0 {
			t.Errorf("the old leader sent on %d packs", n)
		}
		if n := w.nodes[1].forwarded(); n < 2 {
			t.Errorf("%d forwards", n)
		}
		_, err := old.packer.Accept(t.Context(), event.NewRun(submission("x")))
		fails(t, err, ErrNoLeader)
	})
}

// TestMixedPackLosesLeader: when a leader loses its place with a pack of its own and forwarded groups, its own go on and
// the forwarded ones go back.
func TestMixedPackLosesLeader(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after error
		want          error
	}{
		"not proposed": {before: ErrNoLeader, want: ErrNoLeader},
		"unknown":      {after: errors.New("leadership lost"), want: ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
				n := w.nodes[0]
				open := gate(n)
				first := submit(t.Context(), n.packer, "first")
				synctest.Wait()
				own := submit(t.Context(), n.packer, "own")
				foreign := make(chan error, 1)
				go func() {
					_, err := n.packer.Accept(t.Context(), event.NewRun(submission("foreign"), submission("too")))
					foreign <- err
				}()
				synctest.Wait()
				step := func(err error) func(context.Context) error {
					return func(context.Context) error {
						if err != nil {
							w.elect(1)
						}
						return err
					}
				}
				n.set(step(tc.before), step(tc.after), nil)
				<-time.After(minBeside)
				fails(t, <-foreign, tc.want)
				n.set(nil, nil, nil)
				own.good(t, w)
				open()
				first.good(t, w)
			})
		})
	}
}

func TestRetryWithNewLeader(t *testing.T) {
	bubble(t, 2, 1<<20, func(t *testing.T, w *world) {
		w.elect(-1)
		c := submit(t.Context(), w.nodes[1].packer, "patient")
		synctest.Wait()
		start := time.Now()
		w.elect(0)
		c.good(t, w)
		if d := time.Since(start); d != 0 {
			t.Errorf("the new leader was noticed after %v", d)
		}
	})
}

// TestRetryAfterUnknown: a pack that may be in the log is sent again; the caller gets an outcome of the later entry.
func TestRetryAfterUnknown(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		n.set(nil, func(context.Context) error {
			n.set(nil, nil, nil)
			return errors.New("leadership lost")
		}, nil)
		c := submit(t.Context(), n.packer, "twice")
		c.good(t, w)
		if len(w.entries()) != 2 || c.at.Index != 2 || !c.at.Resent {
			t.Errorf("%d entries, outcome at %+v", len(w.entries()), c.at)
		}
		once := submit(t.Context(), n.packer, "once")
		if once.good(t, w); once.at.Resent {
			t.Errorf("sent once: %+v", once.at)
		}
	})
}
