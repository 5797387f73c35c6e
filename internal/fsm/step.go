package fsm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/log"
)

// step holds the rows of the last batches of a fold, until they are applied to Pebble together: rows that several
// batches write are then written once, and neighbouring rows side by side. Batches reach Pebble whole, with the
// cursor after the last of them.
//
// A large step is handed over to a goroutine that applies it, and the fold goes on in the next one. It reads through
// both. There is at most one step on its way, so steps are applied in order and take little memory:
//
//	fold    batches 1-8, in tx    batches 9-16, in tx    waits, then batches 17-24
//	apply                         1-8, from out          1-8, then 9-16
//
// Whoever reads the store has the whole batches applied first (Store.Snapshot), so that the steps are not visible. A
// crash loses what Pebble has in memory in any case, and the steps with it.
type step struct {
	mu      sync.Mutex // held while an event is folded, and while rows of tx are applied
	moved   sync.Cond  // on mu: out is applied or has failed
	tx      *txn       // the open step; nil before the first batch, and after one that failed
	out     *txn       // the step on its way, nil if there is none
	spare   *txn       // memory for the next step
	number  uint64     // steps handed over
	applied uint64     // those of them that are in the store
	rows    int        // of the last step, about those of the next one
	events  int        // in whole batches of tx that are not applied
	whole   bool       // there are such batches
	part    bool       // a batch is folded in part
	err     error      // the first of those that applying met; the fold ends with it
	window  interface{ Stop() bool }
	closed  bool
	bounds  bounds
	going   int          // bytes of out
	size    atomic.Int64 // bytes in memory; read without mu, which is held for as long as Pebble holds a write back
	end     func()       // called once after err is set, while a loop folds
}

// bounds limit a step.
type bounds struct {
	events, bytes int
	millis        int // of the window
}

// usualBounds hold for all folds. A step of so many events is applied in a few milliseconds, and is far smaller than a
// memtable. A batch of a fold that is behind has more and is a step of its own. The window is longer than the time
// between two packs under load.
var usualBounds = bounds{events: 2048, bytes: 4 << 20, millis: 100}

// folding calls fn with the open step, for a part of a batch. If fn fails, the batch is given up.
func (s *Store) folding(fn func(tx *txn) error) error {
	t := &s.step
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	if t.tx == nil {
		t.tx = s.openStep()
	}
	t.part = true
	err := fn(t.tx)
	if err != nil {
		err = errors.Join(err, s.applyAll())
		t.tx, t.part = nil, false
	}
	t.resize()
	return err
}

// openStep returns an empty step that is read through the one on its way.
func (s *Store) openStep() *txn {
	t := &s.step
	tx := t.spare
	if t.spare = nil; tx == nil {
		tx = s.begin(t.rows)
	}
	tx.under, tx.wait = t.out, s.awaitOut
	return tx
}

// awaitOut returns when no step is on its way, or when applying has failed. s.step.mu must be held.
func (s *Store) awaitOut() error {
	t := &s.step
	for t.err == nil && t.out != nil {
		t.moved.Wait()
	}
	return t.err
}

// resize sets the bytes in memory. t.mu must be held.
func (t *step) resize() {
	n := t.going
	if t.tx != nil {
		n += t.tx.memory.bytes
	}
	t.size.Store(int64(n))
}

// seal ends a batch of so many events. From now on readers see its rows, and those that fn writes, the cursor.
func (s *Store) seal(events int, fn func(tx *txn)) error {
	return s.folding(func(tx *txn) error {
		fn(tx)
		tx.seal()
		s.step.events, s.step.whole, s.step.part = s.step.events+events, true, false
		return s.health.Damage()
	})
}

// settle decides after a batch whether the step is applied or stays open for more batches. waiting tells whether more
// entries wait to be folded.
//
// After an idle time a batch is applied at once and opens a window. The batches that come in the window are applied
// at its end, and open the next one.
func (s *Store) settle(waiting bool) error {
	t := &s.step
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.window == nil
	if idle {
		s.openWindow()
	}
	switch {
	case idle && !waiting:
		return errors.Join(s.applyAll(), s.health.Damage())
	case t.events >= t.bounds.events || t.tx != nil && t.tx.memory.bytes >= t.bounds.bytes:
		return errors.Join(s.handOver(), s.health.Damage())
	}
	return t.err
}

// openWindow starts a window. s.step.mu must be held.
func (s *Store) openWindow() {
	t := &s.step
	if t.closed {
		return
	}
	t.window = log.AfterMilliseconds(t.bounds.millis, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.window = nil
		if !t.whole || t.closed {
			return
		}
		s.openWindow()
		if !t.part && t.out == nil { // otherwise at the end of the next window
			_ = s.handOver() // the fold meets the error
		}
	})
}

// handOver has the open step applied by a goroutine of its own, after the one on its way. The step must not have a part
// of a batch. s.step.mu must be held.
func (s *Store) handOver() error {
	t := &s.step
	if err := s.awaitOut(); err != nil || !t.whole { // or a reader had it applied meanwhile
		return err
	}
	out, events := t.tx, t.events
	t.out, t.going, t.rows = out, out.memory.bytes, len(out.pending)
	t.number, t.events, t.whole = t.number+1, 0, false
	t.tx = s.openStep()
	go s.applyOut(out, events)
	return nil
}

// applyOut applies the step on its way, which has so many events.
func (s *Store) applyOut(out *txn, events int) {
	t := &s.step
	err := out.apply(pebble.NoSync)
	t.mu.Lock()
	if err != nil {
		t.fail(err)
	} else if t.tx != nil {
		t.tx.under = nil
	}
	t.mu.Unlock()
	kept := err == nil && out.reset()
	if err == nil {
		s.wrote(events)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if kept {
		t.spare = out
	}
	t.out, t.going, t.applied = nil, 0, t.applied+1
	t.resize()
	t.moved.Broadcast()
}

// fail keeps the first error of applying. t.mu must be held.
func (t *step) fail(err error) {
	if t.err != nil {
		return
	}
	if t.err = err; t.end != nil {
		t.end() // the loop may wait for entries that do not come
	}
}

// applyAll applies the whole batches of both steps. It returns when they are in the store. While it waits for the step
// on its way, the fold may go on. applyAll does not wait for what is folded meanwhile. s.step.mu must be held.
func (s *Store) applyAll() error {
	t := &s.step
	last := t.number
	if t.whole {
		last++
	}
	for t.err == nil && t.out != nil && t.applied < last {
		t.moved.Wait()
	}
	if t.out != nil {
		return t.err
	}
	return s.applyStep()
}

// applyStep applies the whole batches of the open step. There must be none on its way. The memory of the step serves
// the next one, but not during a batch: readers may come while a fold scans, and the fold goes on in the same memory.
// s.step.mu must be held.
func (s *Store) applyStep() error {
	t := &s.step
	if t.err != nil || !t.whole {
		return t.err
	}
	if err := t.tx.apply(pebble.NoSync); err != nil {
		t.fail(err)
		return err
	}
	events := t.events
	t.events, t.whole = 0, false
	if !t.part && t.tx.done() {
		if t.rows = len(t.tx.pending); !t.tx.reset() {
			t.tx = nil
		}
		t.resize()
	}
	s.wrote(events)
	return nil
}

// endStep applies what is left when a store closes, unless the store is deleted afterwards.
func (s *Store) endStep() error {
	t := &s.step
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.window != nil {
		t.window.Stop()
	}
	t.closed = true
	for t.out != nil {
		t.moved.Wait()
	}
	if s.Damage() != nil {
		return nil
	}
	return s.applyStep()
}

// follow is follow for the fold that writes to this store. It also ends when the rows of a step cannot be applied,
// whoever had that done: without the rows nobody can read, and the fold may have nothing to do.
func (s *Store) follow(ctx context.Context, src *log.Store, f folder) error {
	loop, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.step.ends(cancel) == nil {
		if err := follow(loop, src, f); ctx.Err() != nil || loop.Err() == nil {
			return s.folded(err)
		}
	}
	return s.folded(s.step.ends(nil))
}

// ends has fn called when the step fails, and returns the error if it has failed.
func (t *step) ends(fn func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = fn
	return t.err
}
