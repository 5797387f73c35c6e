package recount

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/verify"
)

// fold runs the fold of an open generation up to event seq, without the other loops.
func (r *testNode) fold(number uint32, seq uint64) {
	r.t.Helper()
	g := r.running(number)
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	r.must(g.WaitSeq(r.ctx, seq))
	cancel()
	<-ended
}

// control folds the control state to the end of the log, without the loops of the manager.
func (r *testNode) control() {
	r.t.Helper()
	r.must(r.derived.CatchUp(r.ctx))
}

// TestNothingIsServedBetween: from the activation in the control state to the moment at which the new
// generation has folded it, the node serves nothing, waits for it, and then serves from that event on.
func TestNothingIsServedBetween(t *testing.T) {
	r := newTestNode(t, 40)
	r.must(r.open())
	t.Cleanup(r.stop)
	r.m.Start(r.running(1))
	r.must(r.m.WaitSeq(r.ctx, r.seq))
	if r.m.Switching() || r.m.AwaitServing(r.ctx) != nil {
		t.Fatal("generation 1 does not serve")
	}
	r.generation(tight())
	r.control()
	if r.m.Switching() || r.m.Active() != 1 {
		t.Fatal("a generation that is only built changes what is served")
	}
	r.must(r.m.reconcile())
	activated := r.activate(2, 1)
	r.control()
	if !r.m.Switching() || r.m.Active() != 2 || r.m.Serving().Number() != 1 {
		t.Fatalf("switching %v, active %d, serving %d", r.m.Switching(), r.m.Active(), r.m.Serving().Number())
	}
	short, cancel := context.WithCancel(r.ctx)
	cancel()
	for what, err := range map[string]error{
		"AwaitServing": r.m.AwaitServing(short),
		"WaitIndex":    r.m.WaitIndex(short, uint64(len(r.entries))),
		"WaitSeq":      r.m.WaitSeq(short, activated),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s while nothing is served: %v", what, err)
		}
	}
	if err := r.m.WaitSeq(short, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("an event that the previous generation has folded is answered by it: %v", err)
	}
	turn, stop := context.WithCancel(r.ctx)
	over := make(chan error, 1)
	go func() { over <- r.m.switchLoop(turn) }()
	served := make(chan error, 1)
	go func() { served <- r.m.WaitSeq(r.ctx, activated) }()
	r.must(r.running(2).WaitSeq(r.ctx, activated))
	r.must(<-served)
	if r.m.Serving().Number() != 2 || r.m.Switching() {
		t.Errorf("generation %d serves", r.m.Serving().Number())
	}
	stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the switch ended with %v", err)
	}
}

// TestActivatedTwiceBeforeItIsFolded: a generation that was activated and replaced before this node had folded
// it never serves here, and nobody waits for it.
func TestActivatedTwiceBeforeItIsFolded(t *testing.T) {
	r := newTestNode(t, 40)
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	r.fold(1, r.seq)
	first := r.activate(2, 1)
	r.control()
	held := r.running(2) // it folds nothing
	done := make(chan error, 1)
	go func() { done <- r.m.awaitActivated(r.ctx, held, first) }()
	r.activate(1, 2)
	r.control()
	if err := <-done; err != nil {
		t.Errorf("the wait for the first activation ended with %v", err)
	}
	turn, stop := context.WithCancel(r.ctx)
	over := make(chan error, 1)
	go func() { over <- r.m.switchLoop(turn) }()
	r.fold(1, r.seq)
	r.must(r.m.AwaitServing(r.ctx))
	if r.m.Serving().Number() != 1 || held.Cursor().Seq >= first {
		t.Errorf("generation %d serves, 2 is at event %d", r.m.Serving().Number(), held.Cursor().Seq)
	}
	stop()
	<-over
}

// TestOutcomesComeFromTheGenerationOfTheEntry: an entry before an activation is answered by the generation that
// was active there, the one after it by the next.
func TestOutcomesComeFromTheGenerationOfTheEntry(t *testing.T) {
	r := newTestNode(t, 60)
	r.generation(tight())
	before := uint64(len(r.entries) - 1)
	r.activate(2, 1)
	c, _ := published()
	r.submit(c.subs[60:80]...)
	after := uint64(len(r.entries))
	r.start()
	for index, number := range map[uint64]uint32{before: 1, after: 2} {
		out, err := r.m.Outcomes(r.ctx, index)
		r.must(err)
		if len(out) != 20 || out[19].Generation != number {
			t.Errorf("entry %d: %d outcomes, of generation %d, want %d", index, len(out), out[19].Generation, number)
		}
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.m.Outcomes(ended, after+9); !errors.Is(err, context.Canceled) {
		t.Errorf("outcomes of an entry that does not come: %v", err)
	}
	if _, err := r.m.Outcomes(r.ctx, 1); err != nil {
		t.Errorf("outcomes of genesis: %v", err)
	}
}

// TestWaitsEndWithTheirContext: after the stores are closed nobody goes round and round, although every wait finds
// its generation gone.
func TestWaitsEndWithTheirContext(t *testing.T) {
	r := newTestNode(t, 20)
	r.start()
	r.settled()
	m, entries, seq := r.m, uint64(len(r.entries)), r.seq
	ctx, cancel := context.WithCancel(r.ctx)
	waits := make(chan error, 3)
	go func() { _, err := m.Outcomes(ctx, entries+1); waits <- err }()
	go func() { waits <- m.WaitSeq(ctx, seq+1) }()
	go func() { waits <- m.Serving().WaitSeq(ctx, seq+1) }()
	r.cancel()
	r.done.Wait()
	r.must(m.Close())
	cancel()
	for range 3 {
		if err := <-waits; !errors.Is(err, context.Canceled) && !errors.Is(err, fsm.ErrDropped) {
			t.Errorf("a wait ended with %v", err)
		}
	}
	r.must(errors.Join(r.derived.Close(), r.store.Close()))
	r.m = nil
}

// TestStopWhileRecording: a node that is stopped while it records what an activation changed ends. Its
// comparison finds the other generation closed, and went round without end.
func TestStopWhileRecording(t *testing.T) {
	for range 8 { // the stores close in any order
		r := newTestNode(t, 40)
		r.generation(tight())
		r.must(r.open())
		r.activate(2, 1)
		r.control()
		r.m.each(r.m.Start) // 1 folds nothing more: it has no new events to wait for
		r.stop()
	}
	r := newTestNode(t, 40)
	r.generation(tight())
	r.must(r.open())
	t.Cleanup(r.stop)
	r.activate(2, 1)
	r.control()
	r.must(r.running(1).Close())
	ctx, cancel := context.WithCancel(r.ctx)
	a := r.derived.Control().Activations()[0]
	if err := r.m.record(ctx, r.running(2), a); err != nil {
		t.Errorf("the earlier one is folded again, which the next turn waits for: %v", err)
	}
	cancel()
	if err := r.m.record(ctx, r.running(2), a); !errors.Is(err, fsm.ErrDropped) {
		t.Errorf("at the end: %v", err)
	}
}

// TestWhatEndsALoop: a loop that fails stops the node when its generation answers clients or is to answer. Any
// other one is reported with its reason, and is not switched to.
func TestWhatEndsALoop(t *testing.T) {
	bad := errors.New("no such kernel")
	fails := func(context.Context) error { return bad }
	r := newTestNode(t, 20)
	r.generation(tight())
	r.generation(verify.DefaultPolicy()) // has no effect: one is being built
	r.must(r.open())
	t.Cleanup(r.stop)
	r.m.runLoop(r.ctx, r.running(2), "fold", fails)
	if p := r.m.progress(2, 0); r.host.bad() != "" || p.State != StateFailed || p.Why != "generation 2: fold: no such kernel" {
		t.Errorf("%s, %+v", r.host.bad(), p)
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	r.m.runLoop(ended, r.running(1), "fold", fails)
	if r.host.bad() != "" {
		t.Errorf("a loop that was told to end: %s", r.host.bad())
	}
	dropped := func(context.Context) error { return fsm.ErrDropped }
	r.m.runLoop(r.ctx, r.running(1), comparison, dropped)
	if r.host.bad() != "" || r.running(1).failed.Load() != nil {
		t.Errorf("a generation that is folded again: %s", r.host.bad())
	}
	r.m.runLoop(r.ctx, r.running(1), "fold", fails)
	if got := r.host.failed; len(got) != 1 || !errors.Is(got[0], bad) || !strings.Contains(got[0].Error(), "generation 1") {
		t.Errorf("the node heard %v", got)
	}
	r.activate(2, 1)
	r.control()
	if err := r.m.switchLoop(r.ctx); !errors.Is(err, bad) {
		t.Errorf("switched to a generation that had failed: %v", err)
	}
	r.m.runLoop(r.ctx, r.running(2), "fold", fails)
	if len(r.host.failed) != 2 {
		t.Errorf("the one that is to answer has failed, and the node heard %v", r.host.failed)
	}
}

// TestFailedGenerationEndsTheNode: a generation that failed on this node alone is activated by the others. The
// node ends, instead of answering with the old one.
func TestFailedGenerationEndsTheNode(t *testing.T) {
	r := newTestNode(t, 20)
	r.generation(tight())
	r.start()
	r.settled()
	bad := errors.New("no such kernel")
	r.running(2).failed.Store(&bad)
	r.activate(2, 1)
	r.until("the node hears of it", func() bool { return r.host.bad() != "" })
	if got := get(r.host, func() error { return r.host.failed[0] }); !errors.Is(got, bad) ||
		!strings.Contains(got.Error(), "switch of generations") {
		t.Errorf("the node heard %v", got)
	}
	if r.m.Serving().Number() != 1 || !r.m.Switching() {
		t.Errorf("generation %d serves", r.m.Serving().Number())
	}
}

// TestIgnoredOperations: events that do not fit the state build, switch and drop nothing.
func TestIgnoredOperations(t *testing.T) {
	r := newTestNode(t, 20)
	unknown := [32]byte{1}
	r.add(event.GenerationStarted, &event.GenerationStartedV1{Policy: unknown[:]})
	r.activate(2, 1)
	r.activate(1, 1)
	r.dropped(1)
	r.dropped(7)
	r.start()
	r.settled()
	if r.m.Serving().Number() != 1 || len(r.m.numbers()) != 1 || len(r.dirs()) != 1 {
		t.Errorf("generation %d serves, %v are open, %v are there", r.m.Serving().Number(), r.m.numbers(), r.dirs())
	}
}
