package reads_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// overtaken lets something happen between the choice of a generation and the look at its position.
type overtaken struct {
	reads.Generations
	meanwhile func(serving *recount.Running) // happens once
	serving   atomic.Int32                   // calls
	waits     atomic.Int32
}

func (o *overtaken) Serving() *recount.Running {
	r, meanwhile := o.Generations.Serving(), o.meanwhile
	o.serving.Add(1)
	if o.meanwhile = nil; meanwhile != nil {
		meanwhile(r)
	}
	return r
}

func (o *overtaken) WaitSeq(ctx context.Context, seq uint64) error {
	o.waits.Add(1)
	return o.Generations.WaitSeq(ctx, seq)
}

// build builds generation 2 without activating it.
func (v *viewed) build() {
	v.Helper()
	policy := verify.DefaultPolicy()
	id := policy.ID()
	v.ledger.Add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], FromSeq: 1})
	v.await(func() bool { r, _ := v.ledger.Gens.Get(2); return r != nil })
}

func (v *viewed) activate(number, from uint32) {
	v.ledger.Add(event.GenerationActivated, &event.GenerationActivatedV1{Generation: number, From: from, Position: 2,
		Diff: make([]byte, 32), Rollback: number < from})
}

// consistent checks that the generation of a view is the one that was active after its last event.
func (v *viewed) consistent(at api.Position) {
	v.Helper()
	if want := v.ledger.State.Control().ActiveAfter(at.AppliedSeq); at.Generation != want {
		v.Errorf("a view of generation %d at event %d, after which %d was active", at.Generation, at.AppliedSeq, want)
	}
}

// TestViewOpenedDuringActivation: an activation comes while a view is opened, and the generation of before folds it and
// what follows. The view is one of the next generation, for reads that wait for a switch and for others. It takes one more
// turn.
func TestViewOpenedDuringActivation(t *testing.T) {
	for name, r := range map[string]api.Read{"a read": {}, "a live tail": {Switches: true, MinSeq: 1},
		"by a quorum": {Consistency: wire.ConsistencyLinearizable}} {
		t.Run(name, func(t *testing.T) {
			v := newViewed(t, 1)
			v.build()
			o := &overtaken{Generations: v.ledger.Gens}
			o.meanwhile = func(former *recount.Running) {
				v.activate(2, 1)
				v.ledger.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
				v.must(former.WaitSeq(v.ctx, v.ledger.State.Cursor().Seq))
			}
			v.Generations = o
			at := v.view(r).Position()
			if v.consistent(at); at.Generation != 2 || at.AppliedSeq != v.ledger.State.Cursor().Seq {
				t.Errorf("%+v", at)
			}
			if o.serving.Load() != 2 || o.waits.Load() != 2 {
				t.Errorf("the generation was looked at %d times after %d waits", o.serving.Load(), o.waits.Load())
			}
		})
	}
}

// TestViewsDuringActivations: whatever the moment at which a view is opened, its generation is the one that was active after
// its last event. No read that waits for switches is refused.
func TestViewsDuringActivations(t *testing.T) {
	v := newViewed(t, 1)
	v.build()
	var reading sync.WaitGroup
	done := make(chan struct{})
	opened := atomic.Int64{}
	for _, r := range []api.Read{{}, {Switches: true}, {Switches: true}} {
		reading.Go(func() {
			for seq := uint64(0); ; opened.Add(1) {
				select {
				case <-done:
					return
				default:
				}
				r.MinSeq = seq
				view, err := v.View(v.ctx, r)
				if !r.Switches && codeOf(err) == wire.CodeNotReady {
					continue // the node switches
				}
				if err != nil {
					t.Error(err)
					return
				}
				at := view.Position()
				v.consistent(at)
				v.consistent(v.Position())
				if at.AppliedSeq < seq {
					t.Errorf("a view at event %d after one at event %d", at.AppliedSeq, seq)
				}
				seq = at.AppliedSeq
			}
		})
	}
	for range 100 {
		v.activate(2, 1)
		v.activate(1, 2)
	}
	close(done)
	reading.Wait()
	t.Logf("%d views", opened.Load())
}

// TestFormerGenerationKeepsUp: a view of a generation that was replaced has every event of the active one, so that no list
// that goes on in it ends early.
func TestFormerGenerationKeepsUp(t *testing.T) {
	v := newViewed(t, 1)
	v.build()
	v.activate(2, 1)
	v.must(v.ledger.Gens.AwaitServing(v.ctx))
	for range 300 {
		v.ledger.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
		active := v.view(api.Read{}).Position()
		if former := v.view(api.Read{Generation: 1}).Position(); active.Generation != 2 || former.Generation != 1 ||
			former.AppliedSeq < active.AppliedSeq {
			t.Fatalf("%+v, behind %+v", former, active)
		}
	}
}
