package recount

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestRestWhileSubmissionsCome: after a batch a generation that is not active rests some times as long as the batch
// took, up to a bound, and not at all once no submission came for a second. The clock is that of the bubble.
func TestRestWhileSubmissionsCome(t *testing.T) {
	for _, c := range []struct {
		name                string
		took, since, paused time.Duration
	}{
		{"a short batch", 10 * time.Millisecond, 0, 60 * time.Millisecond},
		{"the longest one that counts", 50 * time.Millisecond, 0, 300 * time.Millisecond},
		{"a batch that waited", time.Minute, 0, 300 * time.Millisecond},
		{"submitted almost a second ago", 10 * time.Millisecond, busyFor - time.Millisecond, 60 * time.Millisecond},
		{"submitted a second ago", 10 * time.Millisecond, busyFor, 0},
		{"no submission", 10 * time.Millisecond, time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Manager{o: Options{Disk: &space{free: 1 << 40}}}
				if m.busy() {
					t.Error("busy before the first submission")
				}
				m.Submitted()
				if !m.busy() {
					t.Error("not busy after a submission")
				}
				time.Sleep(c.since)
				r, th := &Running{}, throttle{resumed: time.Now().Add(-c.took)}
				before := time.Now()
				if err := m.backOff(t.Context(), r, &th, 6); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(before); got != c.paused {
					t.Errorf("paused %s, want %s", got, c.paused)
				}
				if th.resumed != time.Now() {
					t.Error("the next batch does not begin now")
				}
			})
		})
	}
}

// TestBackOffEndsWithItsContext: a pause does not hold up the end of the loop.
func TestBackOffEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Manager{o: Options{Disk: &space{free: 1 << 40}}}
		m.Submitted()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		before := time.Now()
		if err := m.backOff(ctx, &Running{}, &throttle{}, 6); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("busy: %v", err)
		}
		if got := time.Since(before); got != 20*time.Millisecond {
			t.Errorf("paused %s", got)
		}
		time.Sleep(busyFor)
		if err := m.backOff(ctx, &Running{}, &throttle{}, 6); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("idle: %v", err)
		}
	})
}

// TestPaceNeverHoldsTheActive: whatever the disk and the submissions are, the generation that serves and the one
// that is to serve go on at once. One that waited when it was activated goes on, too.
func TestPaceNeverHoldsTheActive(t *testing.T) {
	r := newTestNode(t, 20)
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	r.space.set(0)
	r.m.Submitted()
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	if err := r.m.pace(ended, 1); err != nil {
		t.Errorf("the serving one: %v", err)
	}
	if err := r.m.pace(ended, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("another one: %v", err)
	}
	if err := r.m.pace(ended, 9); err != nil {
		t.Errorf("one that is not here: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- r.m.pace(r.ctx, 2) }()
	r.until("it waits", func() bool { return r.running(2).paused.Load() != nil })
	if p := r.m.progress(2, 0); p.State != StatePaused || p.Why != "less than 1073741824 bytes of disk are free" {
		t.Errorf("%+v", p)
	}
	r.activate(2, 1)
	r.control()
	r.must(<-waited)
	if r.running(2).paused.Load() != nil {
		t.Error("it goes on and counts as paused")
	}
	if err := r.m.pace(ended, 2); err != nil {
		t.Errorf("the one that is to serve: %v", err)
	}
	if err := r.m.pace(ended, 1); err != nil {
		t.Errorf("the one that still serves: %v", err)
	}
	if got := r.running(2).meter.at; got.IsZero() {
		t.Error("the pace is not measured")
	}
}
