package recount

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
)

// waiting is a context that tells when somebody begins to wait for its end.
type waiting struct {
	context.Context
	once sync.Once
	told chan struct{}
}

func (w *waiting) Done() <-chan struct{} {
	w.once.Do(func() { close(w.told) })
	return w.Context.Done()
}

// switches is a log handler that keeps the events after which another generation serves.
type switches chan uint64

func (s switches) Enabled(context.Context, slog.Level) bool { return true }
func (s switches) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s switches) WithGroup(string) slog.Handler            { return s }

func (s switches) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "after" {
			s <- a.Value.Uint64()
		}
		return true
	})
	return nil
}

// TestOvertakenActivationIsNotServed: the switch waits for a generation to fold its activation, and another one
// comes. The generation that has not folded it does not serve, not for a moment.
func TestOvertakenActivationIsNotServed(t *testing.T) {
	r := newTestNode(t, 40)
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	served := make(switches, 9)
	r.m.log = slog.New(served)
	r.fold(1, r.seq)
	r.activate(2, 1)
	r.control()
	turn, stop := context.WithCancel(r.ctx)
	ctx := &waiting{Context: turn, told: make(chan struct{})}
	over := make(chan error, 1)
	go func() { over <- r.m.switchLoop(ctx) }()
	<-ctx.told // it waits for generation 2, which folds nothing yet
	r.activate(1, 2)
	last := r.activate(2, 1)
	r.control()
	r.fold(2, last)
	if after := <-served; after != last {
		t.Errorf("generation 2 served after event %d, before the one at %d", after, last)
	}
	stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the switch ended with %v", err)
	}
}

// TestHistoryLostWhileRecording: a history that is lost by the time an activation is to be recorded quarantines
// the node. The loop waits for the end, so that the node goes on with what it has folded.
func TestHistoryLostWhileRecording(t *testing.T) {
	r := newTestNode(t, 60)
	r.start()
	r.settled()
	r.stop()
	r.truncate("n/history", "MANIFEST")
	r.generation(tight())
	activated := r.activate(2, 1)
	r.must(r.open())
	t.Cleanup(r.stop)
	r.fold(1, activated)
	r.fold(2, activated)
	r.host.note(func() { r.host.quarantined = nil }) // Open has told
	ctx, stop := context.WithCancel(r.ctx)
	over := make(chan error, 1)
	go func() { over <- r.m.record(ctx, r.running(2), r.derived.Control().Activations()[0]) }()
	var ended error
	r.until("the quarantine, or the end of the loop", func() bool {
		select {
		case ended = <-over:
		default:
		}
		return ended != nil || get(r.host, func() int { return len(r.host.quarantined) }) > 0
	})
	if ended != nil {
		t.Fatalf("the loop has ended the node: %v", ended)
	}
	stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
}
