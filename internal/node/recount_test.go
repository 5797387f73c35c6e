package node_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

const (
	laxPolicy   = "signature: {required: false}\n"
	plainPolicy = "kernel: 1\n"
)

// recounter drives one recount after another.
type recounter struct {
	t   *testing.T
	c   *nodetest.Cluster
	ctx context.Context
}

func (r recounter) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r recounter) publish(document string) string {
	r.t.Helper()
	p, err := r.c.Client.PublishPolicy(r.ctx, wire.PolicyRequest{
		Document: document,
		Op:       wire.Op{Reason: "test", Ticket: "T-1"},
	})
	r.must(err)
	return p.ID
}

// start builds a generation and waits until every node has compared it with the active one.
func (r recounter) start(policy string) uint32 {
	r.t.Helper()
	g, err := r.c.Client.StartGeneration(r.ctx, wire.GenerationRequest{Policy: policy})
	r.must(err)
	r.await(g.Generation)
	r.c.Await("the generation is ready in the list", func() error {
		page, err := r.c.Client.Generations(r.ctx)
		if err == nil && page.Items[len(page.Items)-1].State != wire.GenerationReady {
			err = fmt.Errorf("%+v", page.Items)
		}
		return err
	})
	return g.Generation
}

func (r recounter) await(number uint32) {
	r.t.Helper()
	r.c.Await(fmt.Sprintf("generation %d on every node", number), func() error {
		g, err := r.c.Client.Generation(r.ctx, number)
		if err != nil || g.Reported < r.c.Size() || !g.Agree {
			return fmt.Errorf("%+v %v", g, err)
		}
		return nil
	})
}

func (r recounter) diff(number uint32) *wire.DiffAnswer {
	r.t.Helper()
	d, err := r.c.Client.Diff(r.ctx, number, 0)
	r.must(err)
	return d
}

func (r recounter) activate(number uint32, diff string) *wire.ActivateAnswer {
	r.t.Helper()
	a, err := r.c.Client.Activate(r.ctx, number, wire.ActivateRequest{Diff: diff})
	r.must(err)
	return a
}

func (r recounter) submit(body []byte) (status int, code wire.Code) {
	r.t.Helper()
	a, err := r.c.Client.Submit(r.ctx, body)
	var p *wire.Problem
	if errors.As(err, &p) {
		return p.Status, p.Code
	}
	r.must(err)
	return a.Status, ""
}

// everywhere reads one id on every node.
func (r recounter) everywhere(id string, check func(a *wire.PCSAnswer) error) {
	r.t.Helper()
	for i := range r.c.Size() {
		// A node records what an activation changed right after it has begun to answer from the other generation.
		r.c.Await(fmt.Sprintf("node %d", i+1), func() error {
			a, err := r.c.At(i).Get(r.ctx, id, client.Read{})
			if err == nil {
				err = check(a)
			}
			if err != nil {
				return fmt.Errorf("%w: %+v", err, a)
			}
			return nil
		})
	}
}

func newRecounter(t *testing.T, c *nodetest.Cluster) recounter {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return recounter{t, c, ctx}
}

func outcomeIs(outcome string, generation uint32, history int) func(*wire.PCSAnswer) error {
	return func(a *wire.PCSAnswer) error {
		if a.Outcome != outcome || a.Generation != generation || len(a.History) != history {
			return fmt.Errorf("want %s in generation %d with a history of %d", outcome, generation, history)
		}
		return nil
	}
}

// TestOpIDNamesOneOperation: an operation sent again under its op_id gives the first answer; another operation under it is refused.
func TestOpIDNamesOneOperation(t *testing.T) {
	c := nodetest.Start(t, 1)
	r := newRecounter(t, c)
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	once := wire.ApplyRequest{Op: wire.Op{OpID: "once"}}
	first, err := c.Client.ApplyPolicy(r.ctx, lax, once)
	r.must(err)
	again, err := c.Client.ApplyPolicy(r.ctx, lax, once)
	r.must(err)
	if first.Seq == 0 || again.Seq != first.Seq {
		t.Errorf("applied at %d, sent again: %d", first.Seq, again.Seq)
	}
	if a, err := c.Client.ApplyPolicy(r.ctx, plain, once); err == nil ||
		!strings.Contains(err.Error(), "something else") {
		t.Errorf("another policy under the same op_id: %+v, %v", a, err)
	}
	number := r.start(plain)
	diff := r.diff(number).Digest
	activate := func(opID string, number uint32, diff string) (*wire.ActivateAnswer, error) {
		return c.Client.Activate(r.ctx, number, wire.ActivateRequest{Op: wire.Op{OpID: opID}, Diff: diff})
	}
	on, err := activate("on", number, diff)
	r.must(err)
	if a, err := activate("on", number, diff); err != nil || a.Seq != on.Seq {
		t.Errorf("activated at %d, sent again: %+v %v", on.Seq, a, err)
	}
	other := diff[:78] + "00"
	if other == diff {
		other = diff[:78] + "01"
	}
	_, away := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{OpID: "on"}})
	_, far := activate("on", number+70, diff)
	_, another := activate("on", number, other)
	_, of := activate("once", number, diff)
	for what, err := range map[string]error{
		"a rollback":             away,
		"another generation":     far,
		"another diff":           another,
		"under a policy's op_id": of,
	} {
		if err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%s: %v", what, err)
		}
	}
	back, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}})
	r.must(err)
	if a, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}}); err != nil ||
		a.Seq != back.Seq {
		t.Errorf("rolled back at %d, sent again: %+v %v", back.Seq, a, err)
	}
	if _, err := activate("back", 1, back.Diff); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("an activation under the op_id of a rollback: %v", err)
	}
}

// TestRecount: a lax policy let a forged record take an id and push an epoch. The fix is published, built,
// compared, activated and rolled back on three nodes, and a node that was away all the time says the same.
func TestRecount(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	lax, plain := r.publish(laxPolicy), r.publish(plainPolicy)
	_, err := c.Client.ApplyPolicy(r.ctx, lax, wire.ApplyRequest{})
	r.must(err)
	taken := nodetest.Record{Shard: "alpha", Epoch: 9, Root: "x"}
	late := nodetest.Record{Shard: "alpha", Epoch: 3, Root: "y"}
	forged := nodetest.Record{Shard: "alpha", Epoch: 9, Root: "x", Near: true, Bare: true}
	for _, step := range []struct {
		record nodetest.Record
		status int
	}{{nodetest.Record{Shard: "alpha", Epoch: 1, Root: "w"}, 200}, {forged, 200}, {late, 202}, {taken, 409}} {
		if status, code := r.submit(f.Sign(step.record)); status != step.status {
			t.Fatalf("%+v: %d %s", step.record, status, code)
		}
	}
	same := r.start(lax)
	if d := r.diff(same); d.Flips != 2 || d.Direct != 0 {
		// The lax policy judges from the beginning here, from its application on in generation 1: nothing may differ.
		if d.Flips != 0 {
			t.Errorf("the same policy gives %+v", d)
		}
	}
	_, err = c.Client.DropGeneration(r.ctx, same, wire.Op{})
	r.must(err)
	away := (c.Leader() + 1) % 3
	number := r.start(plain)
	d := r.diff(number)
	if d.Flips != 3 || d.Direct != 1 || d.Indirect != 2 || d.ByOutcome["accepted->refused"] != 1 ||
		d.ByOutcome["conflict->accepted"] != 1 || d.ByOutcome["escalated->accepted"] != 1 {
		t.Errorf("%+v", d)
	}
	flips, err := c.Client.FlipsPage(r.ctx, client.FlipsQuery{Generation: number})
	r.must(err)
	if len(flips.Items) != 3 || flips.Items[1].CausedBySeq != flips.Items[0].Seq ||
		flips.Items[2].CausedBySeq != flips.Items[0].Seq || flips.Items[0].New.ReasonCode != "bad_signature" {
		t.Errorf("%+v", flips.Items)
	}
	if _, err := c.Client.Activate(r.ctx, number, wire.ActivateRequest{
		Diff: d.Digest[:78] + "00",
	}); !errors.Is(err, client.ErrRejected) {
		t.Errorf("an activation under another diff: %v", err)
	}
	r.everywhere(taken.ID(), outcomeIs("accepted", 1, 1)) // the forged one
	c.Stop(away)
	act := r.activate(number, d.Digest)
	if act.From != 1 || !slices.Contains(act.Absent, fmt.Sprintf("node-%d", away+1)) {
		t.Errorf("%+v", act)
	}
	c.Restart(away)
	c.AwaitReady(away)
	r.everywhere(taken.ID(), outcomeIs("accepted", number, 4))
	r.everywhere(late.ID(), outcomeIs("accepted", number, 2))
	r.everywhere(taken.ID(), func(a *wire.PCSAnswer) error {
		h := a.History
		if h[0].Generation != 1 || h[0].Outcome != "accepted" || h[1].Outcome != "conflict" ||
			h[2].FromSeq != act.Seq || h[2].Outcome != "refused" || h[3].Outcome != "accepted" {
			return errors.New("history")
		}
		return nil
	})
	if status, code := r.submit(f.Sign(forged)); status != 401 {
		t.Errorf("the forged record again: %d %s", status, code)
	}
	if status, code := r.submit(f.Sign(taken)); status != 200 {
		t.Errorf("the honest record again: %d %s", status, code)
	}
	r.await(1)
	back, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}})
	r.must(err)
	if back.Generation != 1 || back.From != number {
		t.Errorf("%+v", back)
	}
	again, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}})
	r.must(err)
	if again.Seq != back.Seq {
		t.Errorf("a repeated op_id rolled back again: %+v", again)
	}
	r.everywhere(late.ID(), outcomeIs("escalated", 1, 3))
	sameDigests(t, c, r.ctx)
}

// sameDigests compares the digests of all nodes at one event.
func sameDigests(t *testing.T, c *nodetest.Cluster, ctx context.Context) {
	t.Helper()
	first, err := c.At(0).Digest(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Size() {
		if d, err := c.At(i).Digest(ctx, first.Seq); err != nil || !reflect.DeepEqual(d, first) {
			t.Errorf("node %d: %+v %v, node 1: %+v", i+1, d, err, first)
		}
	}
}

// TestHindsight: what a stolen key signed since the theft is taken away by a recount with hindsight, and by no other.
func TestHindsight(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	for i := range 4 {
		if status, code := r.submit(f.Sign(nodetest.Record{
			Shard: "alpha",
			Epoch: int64(i + 1),
			Root:  "r",
		})); status != 200 {
			t.Fatalf("%d %s", status, code)
		}
	}
	page, err := c.Client.AuditPage(r.ctx, client.AuditQuery{})
	r.must(err)
	theft := page.Items[2]
	rev, err := c.Client.RevokeKey(r.ctx, theft.KeyID, wire.RevokeRequest{
		Since: theft.LogTime,
		Op:    wire.Op{Ticket: "INC-9"},
	})
	r.must(err)
	again, err := c.Client.RevokeKey(r.ctx, theft.KeyID, wire.RevokeRequest{})
	r.must(err)
	if *again != *rev {
		t.Errorf("revoked twice: %+v, %+v", rev, again)
	}
	if _, err := c.Client.RevokeKey(r.ctx, "hmac-unknown", wire.RevokeRequest{}); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	for name, body := range map[string][]byte{
		"new":   f.Sign(nodetest.Record{Shard: "alpha", Epoch: 9, Root: "r"}),
		"again": f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}),
	} {
		if status, code := r.submit(body); status != 403 || code != wire.CodeKeyNotAllowed {
			t.Errorf("a record of the revoked key, %s: %d %s", name, status, code)
		}
	}
	policy := r.publish(plainPolicy)
	plain := r.start(policy)
	if d := r.diff(plain); d.Flips != 0 {
		t.Errorf("without hindsight: %+v", d)
	}
	_, err = c.Client.DropGeneration(r.ctx, plain, wire.Op{})
	r.must(err)
	g, err := c.Client.StartGeneration(r.ctx, wire.GenerationRequest{Policy: policy, Keys: wire.KeysHindsight})
	r.must(err)
	r.await(g.Generation)
	if d := r.diff(g.Generation); d.Flips != 2 || d.ByReason["key_revoked"] != 2 || d.First != theft.Seq {
		t.Errorf("with hindsight: %+v", d)
	}
}

// TestDiskSpace: without room no generation is started, below the first watermark one that is built waits,
// below the second one submissions are refused and reads stay up.
func TestDiskSpace(t *testing.T) {
	const plenty, short, nothing = 100 << 30, 500 << 20, 1 << 20
	var free atomic.Uint64
	free.Store(short)
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.DiskFree = free.Load })
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	first := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}
	if status, code := r.submit(f.Sign(first)); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	policy := r.publish(plainPolicy)
	start := func() (status int, text []byte) {
		return c.Once(0, "POST", "/v1/generations", []byte(`{"policy":"`+policy+`"}`))
	}
	if status, text := start(); status != 507 {
		t.Errorf("a generation without room: %d %s", status, text)
	}
	free.Store(plenty)
	c.Await("a generation", func() error {
		if status, text := start(); status != 202 {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	free.Store(short)
	c.Await("a pause", func() error {
		// The fold notices after a step, so there must be steps.
		r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: time.Now().UnixNano(), Root: "r"}))
		g, err := c.Client.Generation(r.ctx, 2)
		if err != nil || g.Nodes[0].State != "paused" {
			return fmt.Errorf("%+v %v", g, err)
		}
		return nil
	})
	free.Store(plenty)
	r.await(2)
	free.Store(nothing)
	c.Await("a refusal", func() error {
		status, text := c.Once(0, "POST", client.SubmitPath,
			f.Sign(nodetest.Record{Shard: "beta", Epoch: time.Now().UnixNano(), Root: "r"}))
		if status != 503 {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	if status, text := c.Once(0, "GET", "/readyz?verbose", nil); status != 503 ||
		!strings.Contains(string(text), "[-]disk failed: ") {
		t.Errorf("readyz on a full disk: %d %s", status, text)
	}
	if _, text := c.Once(0, "GET", "/metrics",
		nil); !strings.Contains(string(text), "\nflk_disk_free_bytes 1.048576e+06\n") {
		t.Error("the metrics do not tell the free space")
	}
	r.everywhere(first.ID(), outcomeIs("accepted", 1, 1))
}
