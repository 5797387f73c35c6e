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
// Whoever reads the store has the whole batches applied first (Store.Snapshot), so that the step is not visible. A
// crash loses what Pebble has in memory in any case, and the step with it.
type step struct {
	mu     sync.Mutex // held while an event is folded, and while rows are applied
	tx     *txn       // nil before the first batch, and after one that failed
	rows   int        // of the last step, about those of the next one
	events int        // in whole batches that are not applied
	whole  bool       // there are such batches
	err    error      // the first of those that applying met; the fold ends with it
	window interface{ Stop() bool }
	closed bool
	bounds bounds
	size   atomic.Int64 // bytes in memory; read without mu, which is held for as long as Pebble holds a write back
	end    func()       // called once after err is set, while a loop folds
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
		t.tx = s.begin(t.rows)
	}
	err := fn(t.tx)
	t.size.Store(int64(t.tx.memory.bytes))
	if err != nil {
		err = errors.Join(err, s.applyStep())
		t.tx = nil
		t.size.Store(0)
	}
	return err
}

// seal ends a batch of so many events. From now on readers see its rows, and those that fn writes, the cursor.
func (s *Store) seal(events int, fn func(tx *txn)) error {
	return s.folding(func(tx *txn) error {
		fn(tx)
		tx.seal()
		s.step.events, s.step.whole = s.step.events+events, true
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
	if idle && !waiting || t.events >= t.bounds.events || t.tx != nil && t.tx.memory.bytes >= t.bounds.bytes {
		return errors.Join(s.applyStep(), s.health.Damage())
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
		if t.whole && !t.closed {
			s.openWindow()
			_ = s.applyStep() // the fold meets the error
		}
	})
}

// applyStep applies the whole batches of the open step. s.step.mu must be held.
func (s *Store) applyStep() error {
	t := &s.step
	if t.err != nil || !t.whole {
		return t.err
	}
	if t.err = t.tx.apply(pebble.NoSync); t.err != nil {
		if t.end != nil {
			t.end() // the loop may wait for entries that do not come
		}
		return t.err
	}
	events := t.events
	t.events, t.whole = 0, false
	if t.tx.done() {
		t.size.Store(0)
		if t.rows = len(t.tx.pending); !t.tx.reset() {
			t.tx = nil
		}
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
	if t.closed = true; s.Damage() != nil {
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
