package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// buildBatchBytes is what one step of a generation that does not answer reads: little, so that answers need not wait long.
const buildBatchBytes = 128 << 10

// running is a generation that this node has open, with its loops.
type running struct {
	*fsm.Generation
	cancel context.CancelFunc
	done   sync.WaitGroup
	failed atomic.Pointer[error]
	diff   atomic.Pointer[fsm.Comparison] // with the generation that was active when it began
	meter  meter
	until  uint64 // event that it must have folded before it answers: what the node knew when it was opened

	folding, comparing pacer
	paused             atomic.Pointer[string] // why it waits
}

// generations are what this node has open. The one that serves is changed only when the next one has folded the event that
// activates it.
type generations struct {
	mu      sync.Mutex
	open    map[uint32]*running
	changed chan struct{} // closed when a generation is opened, closed or begins to serve
	serving atomic.Pointer[running]
}

func (g *generations) get(number uint32) (*running, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[number], g.changed
}

func (g *generations) notify() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
}

// remove takes a generation from the open ones.
func (g *generations) remove(number uint32) {
	g.mu.Lock()
	delete(g.open, number)
	g.mu.Unlock()
	g.notify()
}

// serve makes a generation answer, unless it is no longer the open one of its number.
func (g *generations) serve(r *running) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[r.Number()] != r {
		return false
	}
	g.serving.Store(r)
	return true
}

// await returns a generation once it is open.
func (g *generations) await(ctx context.Context, number uint32) (*running, error) {
	for {
		r, changed := g.get(number)
		if r != nil {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// live is the generation that answers here.
func (n *Node) live() *running { return n.gens.serving.Load() }

// switching reports that the generation that the log has activated is not there yet on this node, or not any more: it serves
// nothing then.
func (n *Node) switching() bool {
	live := n.live()
	active, since := n.derived.Control().Active()
	return live.Number() != active || live.Cursor().Seq < max(since, live.until) || live.Damage() != nil
}

// active is the generation that the log has activated last, whether or not it serves here yet.
func (n *Node) active() uint32 {
	number, _ := n.derived.Control().Active()
	return number
}

// awaitServing returns when the generation that the log has activated answers here.
func (n *Node) awaitServing(ctx context.Context) error {
	for {
		_, changed := n.gens.get(0)
		if !n.switching() {
			return nil
		}
		live := n.live()
		if active, since := n.derived.Control().Active(); live.Number() == active && live.Damage() == nil {
			// After a restart it may have to fold its activation once more. Nothing is switched then.
			// One that is closed meanwhile is damaged or not the active one: the next turn waits for another.
			if err := live.WaitSeq(ctx, max(since, live.until)); err != nil && !errors.Is(err, fsm.ErrDropped) {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// openGenerations opens what the control state knows and did not drop; before the first event that is generation 1.
func (n *Node) openGenerations() error {
	n.gens.open, n.gens.changed = map[uint32]*running{}, make(chan struct{})
	if err := n.removeLeftovers(); err != nil {
		return err
	}
	control := n.derived.Control()
	rows := control.Generations()
	if len(rows) == 0 {
		rows = []projections.GenerationRow{{Number: 1}}
	}
	needed := n.neededByHistory()
	for _, row := range rows {
		if row.Dropped != 0 && !needed[row.Number] {
			continue
		}
		if _, err := n.openGeneration(row.Number); err != nil {
			return err
		}
	}
	active, _ := n.gens.get(n.active())
	n.gens.serving.Store(active)
	return nil
}

func (n *Node) generationDir(number uint32) string {
	return filepath.Join(n.cfg.Dir, "generations", strconv.FormatUint(uint64(number), 10))
}

func (n *Node) openGeneration(number uint32) (*running, error) {
	batch := buildBatchBytes
	if number == n.active() {
		batch = n.cfg.PackBatchBytes
	}
	open := func() (*fsm.Generation, error) {
		return fsm.OpenGeneration(n.cfg.FS, n.generationDir(number), number, n.store, n.derived, n.verifiers,
			fsm.Observer{Mismatch: func(seq uint64) { n.factsMismatch(number, seq) }, Digest: n.digestFolded, Event: n.countEvent, Pace: n.pace,
				Failed: n.endUnwritten}, batch, n.log)
	}
	g, err := open()
	if err != nil && fsm.Rebuildable(err) {
		n.log.Error("a generation cannot be opened; it is deleted and folded again", "generation", number, "error", err)
		n.damages.Add(1)
		if err := n.removeGeneration(number); err != nil {
			return nil, err
		}
		g, err = open()
	}
	if err != nil {
		return nil, err
	}
	r := &running{Generation: g}
	if number == n.active() {
		r.until = n.derived.Cursor().Seq
	}
	n.gens.mu.Lock()
	n.gens.open[number] = r
	n.gens.mu.Unlock()
	return r, nil
}

// comparison names the loop that compares a generation.
const comparison = "comparison"

// startGeneration runs the loops of an open generation.
func (n *Node) startGeneration(r *running) {
	ctx, cancel := context.WithCancel(n.ctx)
	r.cancel = cancel
	r.failed.Store(nil)
	r.done.Go(func() { n.runGeneration(ctx, r, "fold", r.Run) })
	r.done.Go(func() {
		n.runGeneration(ctx, r, comparison, func(ctx context.Context) error { return n.compareLoop(ctx, r) })
	})
	n.gens.notify()
}

// runGeneration runs one loop. What stops the generation that answers, or is to answer, stops the node; another one is only reported.
func (n *Node) runGeneration(ctx context.Context, r *running, what string, loop func(context.Context) error) {
	err := loop(ctx)
	if ctx.Err() != nil {
		return
	}
	if r.disturbed(what, err) {
		return // reconcile folds the damaged one again and starts the loops of all
	}
	err = fmt.Errorf("generation %d: %s: %w", r.Number(), what, err)
	r.failed.Store(&err)
	n.log.Error("a loop of a generation has ended", "generation", r.Number(), "error", err)
	if r == n.live() || r.Number() == n.active() {
		n.fail(err)
	}
}

// disturbed reports that a loop ended with err because a generation is damaged or gone: this one, or the one that it is compared
// with.
func (r *running) disturbed(what string, err error) bool {
	c := r.diff.Load()
	return r.Damage() != nil || errors.Is(err, fsm.ErrDropped) || what == comparison && c != nil && c.Damage() != nil
}

// manageGenerations opens, switches and drops generations as the log says, until ctx ends.
func (n *Node) manageGenerations(ctx context.Context) error {
	for number := range n.openNumbers() {
		r, _ := n.gens.get(number)
		n.startGeneration(r)
	}
	n.loop(ctx, "switch of generations", n.switchLoop)
	for {
		seen, _ := n.derived.Control().Digest()
		if err := n.reconcile(); err != nil {
			return err
		}
		// A generation may also be dropped when its history is recorded, which no event tells.
		turn, cancel := context.WithTimeout(ctx, reconcileEvery)
		_ = n.derived.WaitControl(turn, seen)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// reconcileEvery bounds how long a generation that is no longer needed stays.
const reconcileEvery = time.Second

func (n *Node) openNumbers() map[uint32]bool {
	n.gens.mu.Lock()
	defer n.gens.mu.Unlock()
	out := map[uint32]bool{}
	for number := range n.gens.open {
		out[number] = true
	}
	return out
}

func (n *Node) reconcile() error {
	if err := n.rebuildDamaged(); err != nil {
		return err
	}
	open, needed := n.openNumbers(), n.neededByHistory()
	for _, row := range n.derived.Control().Generations() {
		switch {
		case row.Dropped == 0 && !open[row.Number]:
			r, err := n.openGeneration(row.Number)
			if err != nil {
				return err
			}
			n.log.Info("building a generation", "generation", row.Number, "started", row.Seq)
			n.startGeneration(r)
		case row.Dropped != 0 && open[row.Number] && !needed[row.Number]:
			if err := n.dropGeneration(row.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropGeneration removes a generation from this node.
func (n *Node) dropGeneration(number uint32) error {
	r, _ := n.gens.get(number)
	n.stopGeneration(r)
	n.gens.remove(number)
	n.log.Info("dropping a generation", "generation", number)
	return errors.Join(r.Close(), n.removeGeneration(number))
}

// switchLoop makes the active generation serve once it has folded the event that activated it.
func (n *Node) switchLoop(ctx context.Context) error {
	control := n.derived.Control()
	for {
		seen, _ := control.Digest()
		active, activated := control.Active()
		if n.live().Number() == active {
			if err := n.derived.WaitControl(ctx, seen); err != nil {
				return err
			}
			continue
		}
		r, err := n.gens.await(ctx, active)
		if err != nil {
			return err
		}
		if why := r.failed.Load(); why != nil {
			return *why // it failed here before the others activated it
		}
		err = n.awaitActivated(ctx, r, activated)
		if err != nil && !errors.Is(err, fsm.ErrDropped) {
			return err
		}
		if err != nil || control.LastActivation() != activated || !n.gens.serve(r) {
			continue // to one that is folded again, or to the one activated after it
		}
		n.gens.notify()
		n.log.Info("another generation answers", "generation", active, "after", activated)
	}
}

// awaitActivated returns when a generation has folded the event that activates it, or another activation has come after that one.
func (n *Node) awaitActivated(ctx context.Context, r *running, activated uint64) error {
	turn, cancel := n.untilNextActivation(ctx, activated)
	defer cancel()
	if err := r.WaitSeq(turn, activated); turn.Err() == nil || ctx.Err() != nil {
		return err
	}
	return nil
}

// untilNextActivation gives a context that ends when an activation comes after the one of event since.
func (n *Node) untilNextActivation(ctx context.Context, since uint64) (context.Context, context.CancelFunc) {
	turn, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for turn.Err() == nil {
			seen, _ := n.derived.Control().Digest()
			if n.derived.Control().LastActivation() != since || n.derived.WaitControl(turn, seen) != nil {
				return
			}
		}
	}()
	return turn, cancel
}

// outcomes waits for the outcomes of an entry in the generation that answers for it.
func (n *Node) outcomes(ctx context.Context, index uint64) ([]projections.Result, error) {
	if err := n.derived.WaitIndex(ctx, index); err != nil {
		return nil, err
	}
	for {
		r, err := n.gens.await(ctx, n.derived.Control().AnswersEntry(index))
		if err != nil {
			return nil, err
		}
		out, err := r.Outcomes(ctx, index)
		if !errors.Is(err, fsm.ErrDropped) {
			return out, err
		}
	}
}

func (n *Node) countEvent(r projections.Result) {
	if live := n.live(); live != nil && live.Number() == r.Generation {
		n.stats.count(r)
	}
}

// closeGenerations ends all loops and closes the stores.
func (n *Node) closeGenerations() error {
	var errs []error
	for number := range n.openNumbers() {
		r, _ := n.gens.get(number)
		if r.cancel != nil {
			r.cancel()
			r.done.Wait()
		}
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
