package recount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// buildBatchBytes bounds the bytes that one batch of an inactive generation reads. It is small, so that
// responses need not wait long.
const buildBatchBytes = 128 << 10

// reconcileEvery bounds how long a generation that is no longer needed stays. Tests wait less.
var reconcileEvery = time.Second

// droppedPrefix names what is being removed in generations/, so that half of it is never taken for a generation.
const droppedPrefix = ".dropped-"

// comparison names the loop that compares a generation.
const comparison = "comparison"

// openAll opens the generations of the control state and removes those that were dropped while this node was
// stopped. Before the first event there is generation 1.
func (m *Manager) openAll() error {
	if err := m.removeLeftovers(); err != nil {
		return err
	}
	rows := m.ctrl.Control().Generations()
	if len(rows) == 0 {
		rows = []projections.GenerationRow{{Number: 1}}
	}
	needed := m.neededByHistory()
	for _, row := range rows {
		if row.Dropped != 0 && !needed[row.Number] {
			if err := m.removeDir(row.Number); err != nil {
				return err
			}
			continue
		}
		if _, err := m.openOne(row.Number); err != nil {
			return err
		}
	}
	active, _ := m.Get(m.Active())
	m.serving.Store(active)
	return nil
}

func (m *Manager) openOne(number uint32) (*Running, error) {
	batch := buildBatchBytes
	if number == m.Active() {
		batch = m.o.Batch
	}
	observer := fsm.Observer{
		Mismatch: func(seq uint64) { m.o.Host.FactsMismatch(number, seq) },
		Digest:   m.o.Host.DigestFolded, Event: m.folded, Pace: m.pace, Failed: m.o.Host.Unwritten,
	}
	open := func() (*fsm.Generation, error) {
		return fsm.OpenGeneration(m.o.FS, m.dir(number), number, m.o.Log, m.ctrl, m.o.Host.Verifiers, observer,
			batch, m.log)
	}
	g, err := open()
	if err != nil && fsm.Rebuildable(err) {
		if !otherFormat(m.log, number, err) {
			m.damages.Add(1)
		}
		if err := m.removeDir(number); err != nil {
			return nil, err
		}
		g, err = open()
	}
	if err != nil {
		return nil, err
	}
	r := &Running{Generation: g}
	if number == m.Active() {
		r.until = m.ctrl.Cursor().Seq
	}
	m.mu.Lock()
	m.open[number] = r
	m.mu.Unlock()
	return r, nil
}

// otherFormat tells the log why a generation is deleted and folded again. It returns true if another release folded it, which
// is no damage.
func otherFormat(log *slog.Logger, number uint32, err error) bool {
	if errors.Is(err, fsm.ErrFormat) {
		log.Info("another release folded a generation; it is deleted and folded again", "generation", number, "error", err)
		return true
	}
	log.Error("a generation cannot be opened; it is deleted and folded again", "generation", number, "error", err)
	return false
}

func (m *Manager) folded(r projections.Result) {
	if serving := m.Serving(); serving != nil && serving.Number() == r.Generation {
		m.o.Host.Folded(r)
	}
}

func (m *Manager) dir(number uint32) string {
	return filepath.Join(m.o.Dir, "generations", strconv.FormatUint(uint64(number), 10))
}

// removeDir renames the directory of a closed generation, in one atomic step, and then removes it.
func (m *Manager) removeDir(number uint32) error {
	aside := filepath.Join(m.o.Dir, "generations", droppedPrefix+strconv.FormatUint(uint64(number), 10))
	return durable.RemoveDir(m.o.FS, m.dir(number), aside)
}

// removeLeftovers ends removals that a crash has cut short.
func (m *Manager) removeLeftovers() error {
	names, err := durable.RemovePrefixed(m.o.FS, filepath.Join(m.o.Dir, "generations"), droppedPrefix)
	for _, name := range names {
		m.log.Info("removing the rest of a folded state", "dir", name)
	}
	return err
}

// Start runs the loops of an open generation. They must not run already.
func (m *Manager) Start(r *Running) {
	ctx, cancel := context.WithCancel(m.ctx)
	r.cancel = cancel
	r.failed.Store(nil)
	r.done.Go(func() { m.runLoop(ctx, r, "fold", r.Run) })
	r.done.Go(func() {
		m.runLoop(ctx, r, comparison, func(ctx context.Context) error { return m.compareLoop(ctx, r) })
	})
	m.notify()
}

// Stop ends the loops of a generation and waits for them. It stays open.
func (m *Manager) Stop(r *Running) {
	r.cancel()
	r.done.Wait()
}

// runLoop runs one loop. What stops the generation that serves, or is to serve, stops the node. Another one is
// only reported.
func (m *Manager) runLoop(ctx context.Context, r *Running, what string, loop func(context.Context) error) {
	err := loop(ctx)
	if ctx.Err() != nil {
		return
	}
	if r.disturbed(what, err) {
		return // reconcile folds the damaged one again and starts the loops of all
	}
	err = fmt.Errorf("generation %d: %s: %w", r.Number(), what, err)
	r.failed.Store(&err)
	m.log.Error("a loop of a generation has ended", "generation", r.Number(), "error", err)
	if m.answers(r) {
		m.o.Host.Fail(err)
	}
}

// disturbed reports that a loop ended with err because a generation is damaged or gone: this one, or the one
// that it is compared with.
func (r *Running) disturbed(what string, err error) bool {
	c := r.diff.Load()
	return r.Damage() != nil || errors.Is(err, fsm.ErrDropped) || what == comparison && c != nil && c.Damage() != nil
}

// Run starts the loops of all generations, then opens, switches and drops generations as the log says, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	m.each(m.Start)
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		if err := m.switchLoop(ctx); ctx.Err() == nil {
			m.o.Host.Fail(fmt.Errorf("switch of generations: %w", err))
		}
	})
	for {
		seen, _ := m.ctrl.Control().Digest()
		if err := m.reconcile(); err != nil {
			return err
		}
		// A generation may also be dropped when its history is recorded, which no event tells.
		turn, cancel := context.WithTimeout(ctx, reconcileEvery)
		_ = m.ctrl.WaitControl(turn, seen)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// reconcile makes the open generations match the control state.
func (m *Manager) reconcile() error {
	if err := m.rebuildDamaged(); err != nil {
		return err
	}
	open, needed := m.numbers(), m.neededByHistory()
	for _, row := range m.ctrl.Control().Generations() {
		switch {
		case row.Dropped == 0 && !open[row.Number]:
			r, err := m.openOne(row.Number)
			if err != nil {
				return err
			}
			m.log.Info("building a generation", "generation", row.Number, "started", row.Seq)
			m.Start(r)
		case row.Dropped != 0 && open[row.Number] && !needed[row.Number]:
			if err := m.drop(row.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop removes a generation from this node.
func (m *Manager) drop(number uint32) error {
	r, _ := m.Get(number)
	m.Stop(r)
	m.remove(number)
	m.log.Info("dropping a generation", "generation", number)
	return errors.Join(r.Close(), m.removeDir(number))
}

// rebuildDamaged deletes generations whose files cannot be read and folds them again. Until the serving one is
// back, this node answers 503.
func (m *Manager) rebuildDamaged() error {
	for number := range m.numbers() {
		r, _ := m.Get(number)
		if r.Damage() == nil {
			continue
		}
		if m.impossible[number] && errors.Is(r.Damage(), projections.ErrCorrupt) {
			return fmt.Errorf("generation %d was folded again and its rows are wrong once more, so its files "+
				"are not the reason; "+
				"leave this node stopped and report it: %w", number, r.Damage())
		}
		m.impossible[number] = errors.Is(r.Damage(), projections.ErrCorrupt)
		m.log.Error("a generation is damaged; it is deleted and folded again", "generation", number,
			"error", r.Damage())
		m.damages.Add(1)
		if err := m.rebuild(r); err != nil {
			return fmt.Errorf("fold generation %d again: %w", number, err)
		}
	}
	return nil
}

// rebuild puts a new generation in the place of a damaged one. The others' comparisons are begun again with the
// new one.
func (m *Manager) rebuild(r *Running) error {
	m.Stop(r)
	m.remove(r.Number()) // first: who is told that it is gone waits for the next one
	if err := errors.Join(r.Close(), m.removeDir(r.Number())); err != nil {
		return err
	}
	fresh, err := m.openOne(r.Number())
	if err != nil {
		return err
	}
	m.serving.CompareAndSwap(r, fresh)
	m.each(func(other *Running) {
		if other != fresh {
			m.Stop(other)
			m.Start(other)
		}
	})
	m.Start(fresh)
	return nil
}
