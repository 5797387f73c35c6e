package reads_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/wire"
)

func codeOf(err error) wire.Code {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// TestViews: a view is as fresh as it was asked to be, or there is none and the reason is given.
func TestViews(t *testing.T) {
	var withheld *wire.Problem
	l := ledgertest.New(t)
	vs := &reads.Views{
		State:       l.State,
		Generations: l.Gens,
		Withheld:    func() *wire.Problem { return withheld },
		Confirm:     l.Confirm,
	}
	ctx := t.Context()
	opened := make(chan api.View, 1)
	go func() {
		v, err := vs.View(ctx, api.Read{MinSeq: 2})
		if err != nil {
			t.Error(err)
		}
		opened <- v
	}()
	l.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
	v := <-opened
	if v == nil || v.Position() != (api.Position{AppliedSeq: 2, Generation: 1}) {
		t.Fatalf("%+v", v)
	}
	page, err := v.Events(ctx, api.EventsQuery{From: 1, Limit: 1})
	if err != nil || len(page.Items) != 1 || page.Items[0].Kind != event.Genesis.String() || page.Next != 2 {
		t.Errorf("%+v %v", page, err)
	}
	if _, err := v.Event(ctx, 3); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("an event to come: %v", err)
	}
	d, err := v.Digest(ctx, 0, true)
	if err != nil || d.Seq != 2 || len(d.Edge) == 0 || d.Log == d.State {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := v.Digest(ctx, 3, false); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the digest of an event to come: %v", err)
	}
	if _, err := vs.View(ctx, api.Read{Generation: 7}); !errors.Is(err, api.ErrGenerationGone) {
		t.Errorf("a generation that never was: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := vs.View(ended, api.Read{MinSeq: 3}); !errors.Is(err, context.Canceled) {
		t.Errorf("an event to come: %v", err)
	}
	l.LoseQuorum()
	if _, err := vs.View(ctx, api.Read{Consistency: wire.ConsistencyLinearizable}); codeOf(err) != wire.CodeNoLeader {
		t.Errorf("without a quorum: %v", err)
	}
	if _, err := vs.View(ctx, api.Read{Consistency: wire.ConsistencyLocal}); err != nil {
		t.Errorf("a read that needs none: %v", err)
	}
	withheld = wire.NewProblem(wire.CodeNotReady, "")
	if _, err := vs.View(ctx, api.Read{}); codeOf(err) != wire.CodeNotReady {
		t.Errorf("a node that answers nobody: %v", err)
	}
}

// TestWithheldMeanwhile: a node that begins to answer nobody while a read waits does not answer that read, and a list
// that is being read ends.
func TestWithheldMeanwhile(t *testing.T) {
	var withheld atomic.Pointer[wire.Problem]
	l := ledgertest.New(t)
	vs := &reads.Views{State: l.State, Generations: l.Gens, Withheld: withheld.Load, Confirm: l.Confirm}
	ctx := t.Context()
	view, err := vs.View(ctx, api.Read{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]api.Read{"by a quorum": {Consistency: wire.ConsistencyLinearizable},
		"of another generation": {Generation: 1}} {
		withheld.Store(nil)
		vs.Withheld = func() *wire.Problem { // it is withheld from the second look on
			p := withheld.Load()
			withheld.Store(wire.NewProblem(wire.CodeNotReady, ""))
			return p
		}
		if _, err := vs.View(ctx, r); codeOf(err) != wire.CodeNotReady {
			t.Errorf("%s: %v", name, err)
		}
		vs.Withheld = withheld.Load
	}
	withheld.Store(nil)
	failed := make(chan error)
	go func() {
		_, err := vs.View(ctx, api.Read{MinSeq: 2})
		failed <- err
	}()
	withheld.Store(wire.NewProblem(wire.CodeNotReady, ""))
	l.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
	if err := <-failed; codeOf(err) != wire.CodeNotReady {
		t.Errorf("after the event: %v", err)
	}
	if _, err := view.Audit(ctx, api.AuditQuery{FromSeq: 1, Limit: 1}); codeOf(err) != wire.CodeNotReady {
		t.Errorf("the list: %v", err)
	}
	if _, err := view.Events(ctx, api.EventsQuery{From: 1, Limit: 1}); codeOf(err) != wire.CodeNotReady {
		t.Errorf("the events: %v", err)
	}
	if _, err := view.Shards(ctx, api.ShardsQuery{Limit: 1}); codeOf(err) != wire.CodeNotReady {
		t.Errorf("the shards: %v", err)
	}
	if err := view.Answers(); codeOf(err) != wire.CodeNotReady {
		t.Errorf("what other parts answer: %v", err)
	}
}
