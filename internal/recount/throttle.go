package recount

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/pause"
)

// foldPause and comparePause scale the pause after each batch of a generation that is not active, in lengths of the
// batch, while submissions come in. While a fold pauses, a later batch is read and checked, and rows are applied. That
// takes three times the processor time of the fold, so together they use a third of one processor.
const (
	foldPause    = 11
	comparePause = 6
)

// longestPause bounds a pause, because a batch that took longer than this was mostly waiting itself.
const longestPause = 300 * time.Millisecond

// busyFor is the time after a submission in which the node counts as busy.
const busyFor = time.Second

// diskPause lies between two looks at the disk while a generation waits for space.
const diskPause = time.Second

// throttle knows when a loop went on last. Only that loop uses it.
type throttle struct{ resumed time.Time }

// Submitted tells the throttle that a submission came in.
func (m *Manager) Submitted() { m.submitted.Store(time.Now().UnixNano()) }

// busy reports whether submissions came in a moment ago.
func (m *Manager) busy() bool { return time.Now().UnixNano()-m.submitted.Load() < int64(busyFor) }

// pace never delays the generation that serves or is active. Any other one pauses while submissions come in, and
// waits while disk space is short. A fold calls it after every batch.
func (m *Manager) pace(ctx context.Context, generation uint32) error {
	r, _ := m.Get(generation)
	if r == nil {
		return nil
	}
	r.meter.note(r.Cursor().Seq, time.Now())
	if m.answers(r) {
		return nil
	}
	return m.backOff(ctx, r, &r.folding, foldPause)
}

// answers reports whether a generation answers clients, or is to answer as soon as it is folded: that one never
// waits, since no client gets an answer meanwhile. One that waited when it was activated goes on.
func (m *Manager) answers(r *Running) bool { return r == m.Serving() || r.Number() == m.Active() }

// backOff pauses for so many lengths of the batch.
func (m *Manager) backOff(ctx context.Context, r *Running, t *throttle, factor time.Duration) error {
	took := min(time.Since(t.resumed), longestPause/factor)
	defer func() {
		t.resumed = time.Now()
		r.paused.Store(nil) // also when ctx ends: the generation may be active then, and nothing holds it any more
	}()
	for m.o.Disk.Free() < m.o.Disk.PauseBelow() && !m.answers(r) {
		why := fmt.Sprintf("less than %d bytes of disk are free", m.o.Disk.PauseBelow())
		r.paused.Store(&why)
		if err := pause.For(ctx, diskPause); err != nil {
			return err
		}
	}
	r.paused.Store(nil)
	if m.busy() {
		return pause.For(ctx, factor*took)
	}
	return ctx.Err()
}

// meter measures how fast a generation folds.
type meter struct {
	mu   sync.Mutex
	at   time.Time
	seq  uint64
	rate float64
}

// note takes the position reached. The rate is that of the last seconds.
func (m *meter) note(seq uint64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		m.at, m.seq = now, seq
		return
	}
	if span := now.Sub(m.at); span >= time.Second {
		rate := float64(seq-m.seq) / span.Seconds()
		if m.rate == 0 {
			m.rate = rate
		}
		m.rate = (m.rate + rate) / 2
		m.at, m.seq = now, seq
	}
}

// perSecond returns events per second, 0 before the first second has passed.
func (m *meter) perSecond() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}
