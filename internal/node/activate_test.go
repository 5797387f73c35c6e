package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// lengthen brings unsigned submissions into the log, in packs as large as they may be.
func lengthen(t *testing.T, c *nodetest.Cluster, body []byte, packs int) {
	t.Helper()
	leader := c.Leader()
	sub := event.Sub{Body: body, ReceivedAt: 1, Node: c.Config(leader).NodeID}
	pack := event.Pack{ProposedAt: 1}
	for range 1024 {
		pack.Events = append(pack.Events, event.Event{Kind: event.Submission, Payload: sub.Payload()})
	}
	for range packs {
		_, err := c.Node(leader).ProposeRaw(t.Context(), pack.Append(nil))
		must(t, err)
	}
}

func codeOf(err error) wire.Code {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// TestActivateFarBehind: a generation that is built no further than a corner of the ledger is not activated by
// accident. With force it is, no node answers then, and operators go back at once.
func TestActivateFarBehind(t *testing.T) {
	const plenty, short = 100 << 30, 500 << 20
	var free atomic.Uint64
	free.Store(plenty)
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.DiskFree = free.Load })
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	first := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}
	if status, code := r.submit(f.Sign(first)); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	number := r.start(r.publish(plainPolicy))
	reviewed, leader := r.diff(number).Digest, c.Leader()
	free.Store(short)
	lengthen(t, c, f.Sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"}), 1)
	c.Await("every node pauses the generation", func() error {
		lengthen(t, c, f.Sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"}), 1)
		g, err := c.Client.Generation(r.ctx, number)
		if err != nil {
			return err
		}
		for _, p := range g.Nodes {
			if p.State != "paused" {
				return fmt.Errorf("%s is %s at %d of %d", p.Node, p.State, p.Compared, p.Committed)
			}
		}
		return nil
	})
	lengthen(t, c, f.Sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"}), 6)
	_, err := c.Client.Activate(r.ctx, number, wire.ActivateRequest{Diff: reviewed})
	if codeOf(err) != wire.CodeFarBehind {
		t.Fatalf("an activation after a review of a corner of the ledger: %v", err)
	}
	r.everywhere(first.ID(), outcomeIs("accepted", 1, 1))

	try, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	for i := range c.Size() {
		c.Node(i).HoldGeneration(number)
	}
	_, err = c.Client.Activate(try, number, wire.ActivateRequest{Diff: reviewed, Force: true})
	cancel()
	if code := codeOf(err); code == wire.CodeFarBehind || code == wire.CodeStale {
		t.Fatalf("with force: %v", err)
	}
	c.Await("the switch", func() error {
		if status, text := c.Once(leader, "GET", "/v1/pcs/"+first.ID(), nil); status != 503 {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	back, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{Reason: "too early"}})
	r.must(err)
	if back.Generation != 1 || back.From != number {
		t.Errorf("%+v", back)
	}
	for i := range c.Size() {
		c.Await(fmt.Sprintf("node %d answers again", i+1), func() error {
			a, err := c.At(i).Get(r.ctx, first.ID(), client.Read{})
			if err != nil || a.Generation != 1 {
				return fmt.Errorf("%+v %v", a, err)
			}
			return nil
		})
	}
	if status, code := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: 3, Root: "r"})); status != 200 {
		t.Errorf("after the way back: %d %s", status, code)
	}
	for i := range c.Size() {
		c.Node(i).GoOnWithGeneration(number)
	}
	_, err = c.Client.DropGeneration(r.ctx, number, wire.Op{})
	r.must(err)
	free.Store(plenty)
}

// TestForcedGenerationDoesNotWait: a generation that waits for disk space goes on as soon as it is the one that
// is to answer.
func TestForcedGenerationDoesNotWait(t *testing.T) {
	const plenty, short = 100 << 30, 500 << 20
	var free atomic.Uint64
	free.Store(plenty)
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.DiskFree = free.Load })
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	first := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}
	if status, code := r.submit(f.Sign(first)); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	number := r.start(r.publish(plainPolicy))
	reviewed := r.diff(number).Digest
	free.Store(short)
	c.Await("the generation pauses", func() error {
		lengthen(t, c, f.Sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"}), 1)
		g, err := c.Client.Generation(r.ctx, number)
		if err != nil || g.Nodes[0].State != "paused" {
			return fmt.Errorf("%+v %v", g, err)
		}
		return nil
	})
	if a, err := c.Client.Activate(r.ctx, number, wire.ActivateRequest{Diff: reviewed, Force: true}); err != nil ||
		a.Generation != number {
		t.Fatalf("%+v %v", a, err)
	}
	r.everywhere(first.ID(), func(a *wire.PCSAnswer) error {
		if a.Generation != number {
			return fmt.Errorf("from generation %d", a.Generation)
		}
		return nil
	})
}

// countedTo is up to which event the flips were counted that the activation at seq bounds.
func countedTo(r recounter, seq uint64) uint64 {
	r.t.Helper()
	e, err := r.c.Client.Event(r.ctx, seq, client.Read{MinSeq: seq})
	r.must(err)
	_, m, err := event.Event{Kind: event.GenerationActivated, Payload: e.Payload}.Message()
	r.must(err)
	return m.(*event.GenerationActivatedV1).CountedTo
}

// TestNewFlipsAreBounded: however many submissions come in while an activation is decided, no more of them have
// flipped since the review than it allows.
func TestNewFlipsAreBounded(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	r.apply(lax)
	number := r.start(plain)
	ctx, end := context.WithCancel(r.ctx)
	defer end()
	var epoch atomic.Int64
	done := make(chan struct{})
	for i := range c.Size() {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil { // each is accepted under the lax policy and would be refused under the plain one
				_, _ = c.At(i).Submit(ctx,
					f.Sign(nodetest.Record{Shard: fmt.Sprint("s", i), Epoch: epoch.Add(1), Root: "r", Bare: true}))
			}
		}()
	}
	tooMany := 0
	for limit := uint64(0); ; limit++ {
		a, err := c.Client.Activate(r.ctx, number, wire.ActivateRequest{
			Diff:        r.diff(number).Digest,
			MaxNewFlips: &limit,
		})
		if err == nil {
			// the folds rest on it when the leader changes
			if to := countedTo(r, a.Seq); to == 0 || to < a.Position || to >= a.Seq {
				t.Errorf("the activation at %d says that flips are counted up to event %d", a.Seq, to)
			}
			if a.AfterFlips > limit {
				t.Errorf("%d submissions have flipped after the review at %d of the activation at %d, %d were allowed",
					a.AfterFlips, a.Position, a.Seq, limit)
			}
			break
		}
		if codeOf(err) != wire.CodeStale {
			t.Fatal(err)
		}
		tooMany++
	}
	end()
	for range c.Size() {
		<-done
	}
	t.Logf("refused %d times before", tooMany)
}
