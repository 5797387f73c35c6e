package propose

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

// TestCallerLeaves: what no attempt has carried is taken back and never proposed; what may be in the log is unknown.
func TestCallerLeaves(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		ctx, cancel := context.WithCancel(t.Context())
		sent := submit(ctx, n.packer, "sent")
		synctest.Wait()
		waiting := submit(ctx, n.packer, "waiting")
		synctest.Wait()
		cancel()
		<-sent.done
		<-waiting.done
		fails(t, sent.err, ErrUnknown)
		fails(t, waiting.err, ErrOverloaded)
		open()
		synctest.Wait()
		<-time.After(minBeside)
		synctest.Wait()
		if s := sizes(w); !slices.Equal(s, []int{1}) {
			t.Errorf("packs of %v events", s)
		}
		if queued, _ := n.packer.Stats(); queued != 0 {
			t.Errorf("%d bytes still count", queued)
		}
		w.elect(-1)
		ctx, cancel = context.WithCancel(t.Context())
		idle := submit(ctx, n.packer, "idle")
		synctest.Wait()
		cancel()
		<-idle.done
		fails(t, idle.err, ErrNoLeader)
		w.elect(0)
		synctest.Wait()
		if len(w.entries()) != 1 {
			t.Error("a pack that was called not proposed was proposed")
		}
	})
}

func TestCloseWithWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.start(1 << 20)
		n := w.nodes[0]
		gate(n)
		sent := submit(t.Context(), n.packer, "sent")
		synctest.Wait()
		waiting := submit(t.Context(), n.packer, "waiting")
		synctest.Wait()
		w.stop()
		<-sent.done
		<-waiting.done
		fails(t, sent.err, ErrUnknown)
		fails(t, waiting.err, ErrClosed)
		late := submit(t.Context(), n.packer, "late")
		<-late.done
		fails(t, late.err, ErrClosed)
		if queued, _ := n.packer.Stats(); queued != 0 || len(w.entries()) != 0 {
			t.Errorf("%d bytes still count, %d entries", queued, len(w.entries()))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.elect(-1)
		w.start(1 << 20)
		c := submit(t.Context(), w.nodes[0].packer, "x")
		synctest.Wait()
		w.stop()
		<-c.done
		fails(t, c.err, ErrClosed)
	})
}

// TestHold: nothing is in flight when a hold begins; until its release submissions wait, and events alone leave.
func TestHold(t *testing.T) {
	bubble(t, 1, 1<<20, func(t *testing.T, w *world) {
		n := w.nodes[0]
		open := gate(n)
		before := submit(t.Context(), n.packer, "before")
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), deadline/10)
		defer cancel()
		if _, err := n.packer.Hold(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a hold while a pack is in flight: %v", err)
		}
		held := make(chan func(), 1)
		go func() {
			release, err := n.packer.Hold(t.Context())
			if err != nil {
				t.Error(err)
			}
			held <- release
		}()
		synctest.Wait()
		during := submit(t.Context(), n.packer, "during")
		open()
		release := <-held
		before.good(t, w)
		<-time.After(deadline)
		if len(w.entries()) != 1 {
			t.Errorf("%d entries under a hold", len(w.entries()))
		}
		ev := submission("act")
		ev.Kind = event.KeyAdded
		if place, err := n.packer.SubmitAlone(t.Context(), ev); err != nil || place.Index != 2 {
			t.Errorf("an event alone under a hold: %+v %v", place, err)
		}
		release()
		release()
		during.good(t, w)
		if during.at.Index != 3 {
			t.Errorf("held back to entry %d", during.at.Index)
		}
	})
}
