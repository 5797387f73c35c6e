package operator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// voters are the generations of the only node, and what the other voters report about theirs.
type voters struct {
	*recount.Manager
	others    func(own wire.NodeProgress) []wire.NodeProgress
	switching bool
	unopened  bool // no generation is open
}

func (v *voters) Progress(ctx context.Context, number uint32, position uint64) []wire.NodeProgress {
	nodes := v.Manager.Progress(ctx, number, position)
	if v.others == nil {
		return nodes
	}
	return append(nodes, v.others(nodes[0])...)
}

func (v *voters) Switching() bool { return v.switching || v.Manager.Switching() }

func (v *voters) Get(number uint32) (*recount.Running, <-chan struct{}) {
	r, changed := v.Manager.Get(number)
	if v.unopened {
		return nil, changed
	}
	return r, changed
}

// reviewed is a bench with generation 2, under which the near records are no longer accepted. It is compared up
// to the event position.
type reviewed struct {
	*signing
	voters   *voters
	policy   string
	diff     string
	position uint64
}

func newReviewed(t *testing.T, change ...func(*operator.Options)) *reviewed {
	t.Helper()
	v := &voters{}
	wrap := func(o *operator.Options) {
		v.Manager = o.Recounts.(*recount.Manager)
		o.Recounts = v
	}
	b := &reviewed{signing: newSigning(t, append([]func(*operator.Options){wrap}, change...)...), voters: v}
	b.submit(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Near: true})
	p, _, err := b.Policies.PublishPolicy(t.Context(),
		wire.PolicyRequest{Document: "kernel: 1\nparams: {tol_d: \"0.005\"}\n"}, as("alice"))
	b.is("a policy", err, "")
	b.policy = p.ID
	_, err = b.Generations.StartGeneration(t.Context(), wire.GenerationRequest{Policy: p.ID, From: 1}, as("alice"))
	b.is("a generation", err, "")
	b.review()
	return b
}

// review compares generation 2 up to the end of the log.
func (b *reviewed) review() *wire.DiffAnswer {
	b.Helper()
	r, changed := b.ledger.Gens.Get(2)
	for r == nil || r.Comparison() == nil {
		<-changed
		r, changed = b.ledger.Gens.Get(2)
	}
	if err := r.Comparison().WaitSeq(b.Context(), b.ledger.State.Cursor().Seq); err != nil {
		b.Fatal(err)
	}
	d, err := b.Generations.Diff(b.Context(), 2, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.diff, b.position = d.Digest, d.Position
	return d
}

// activate activates generation 2 under the diff of the review.
func (b *reviewed) activate(opID string, limit *uint64, force bool) (*wire.ActivateAnswer, error) {
	return b.Generations.Activate(b.Context(), 2,
		wire.ActivateRequest{Op: wire.Op{OpID: opID}, Diff: b.diff, MaxNewFlips: limit, Force: force}, as("alice"))
}

func same(node string, own wire.NodeProgress) wire.NodeProgress {
	own.Node = node
	return own
}

func gone(node string) wire.NodeProgress {
	return wire.NodeProgress{Node: node, State: recount.StateUnreachable}
}

func slow(node string, own wire.NodeProgress) wire.NodeProgress {
	own.Node, own.State = node, recount.StateBuilding
	return own
}

// agreements are the reports of two other voters, and what becomes of an activation.
var agreements = map[string]struct {
	others func(own wire.NodeProgress) []wire.NodeProgress
	force  bool
	want   wire.Code
	absent string
}{
	"a minority": {
		others: func(wire.NodeProgress) []wire.NodeProgress { return []wire.NodeProgress{gone("n2"), gone("n3")} },
		force:  true, want: wire.CodeNoAgreement,
	},
	"a contrary one among three": {
		others: func(own wire.NodeProgress) []wire.NodeProgress {
			other := same("n3", own)
			if own.DiffAt != "" {
				other.DiffAt = strings.Repeat("0", len(own.DiffAt))
			}
			return []wire.NodeProgress{same("n2", own), other}
		},
		force: true, want: wire.CodeNoAgreement,
	},
	"a majority": {
		others: func(own wire.NodeProgress) []wire.NodeProgress {
			return []wire.NodeProgress{same("n2", own), gone("n3")}
		},
		absent: "n3",
	},
	"a reporter that is far behind": {
		others: func(own wire.NodeProgress) []wire.NodeProgress {
			return []wire.NodeProgress{same("n2", own), slow("n3", own)}
		},
		want: wire.CodeFarBehind,
	},
	"the same with force": {
		others: func(own wire.NodeProgress) []wire.NodeProgress {
			return []wire.NodeProgress{same("n2", own), slow("n3", own)}
		},
		force: true,
	},
}

// TestActivationNeedsAgreement: a majority of the voters must report the diff that was reviewed, none another one,
// and those who report it must follow the log.
func TestActivationNeedsAgreement(t *testing.T) {
	for name, c := range agreements {
		b := newReviewed(t, func(o *operator.Options) {
			o.Voters = func() []string { return []string{ledgertest.Node, "n2", "n3"} }
			o.Timeout = 20 * time.Millisecond
		})
		b.voters.others = c.others
		before := b.ledger.Entries()
		a, err := b.activate("x", nil, c.force)
		b.is(name, err, c.want)
		if c.want != "" && b.ledger.Entries() != before {
			t.Errorf("%s: it is in the log", name)
		}
		if err == nil && (strings.Join(a.Absent, " ") != c.absent || !slices.Contains(a.Reporters, "n2")) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestActivationOpID: an op_id stands for one activation under one diff, and never for a rollback.
func TestActivationOpID(t *testing.T) {
	b := newReviewed(t)
	ctx := t.Context()
	_, err := b.Generations.Rollback(ctx, wire.RollbackRequest{}, as("alice"))
	b.is("nothing to go back to", err, wire.CodeStale)
	first, err := b.activate("x", nil, false)
	b.is("an activation", err, "")
	other := b.diff[:16] + strings.Repeat("0", 64)
	for name, r := range map[string]struct {
		number uint32
		diff   string
	}{"another generation": {1, b.diff}, "another digest": {2, other}, "another position": {2, "0" + b.diff[:79]}} {
		_, err := b.Generations.Activate(ctx, r.number, wire.ActivateRequest{Op: wire.Op{OpID: "x"}, Diff: r.diff},
			as("alice"))
		b.is(name, err, reused)
	}
	_, err = b.Generations.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "x"}}, as("alice"))
	b.is("a rollback under the op_id of an activation", err, reused)
	back, err := b.Generations.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "y"}}, as("alice"))
	b.is("the way back", err, "")
	again, err := b.Generations.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "y"}}, as("alice"))
	b.is("once more", err, "")
	if back.Seq <= first.Seq || again.Seq != back.Seq || b.voters.Active() != 1 {
		t.Errorf("%+v, then %+v, active is %d", back, again, b.voters.Active())
	}
	late, err := b.activate("x", nil, false)
	b.is("the activation once more", err, "")
	if late.Seq != first.Seq || b.voters.Active() != 1 {
		t.Errorf("%+v, active is %d", late, b.voters.Active())
	}
	_, err = b.Generations.Activate(ctx, 2, wire.ActivateRequest{Op: wire.Op{OpID: "y"}, Diff: b.diff}, as("alice"))
	b.is("an activation under the op_id of a rollback", err, reused)
}

// TestNewFlips: an activation with a limit counts the submissions that flipped since the review.
func TestNewFlips(t *testing.T) {
	b := newReviewed(t)
	for epoch := range int64(2) {
		b.submit(nodetest.Record{Shard: "b", Epoch: epoch + 1, Root: "r", Near: true})
	}
	b.submit(nodetest.Record{Shard: "b", Epoch: 3, Root: "r"})
	one, two := uint64(1), uint64(2)
	if b.grow(func() {
		_, err := b.activate("x", &one, false)
		b.is("one more than allowed", err, wire.CodeStale)
	}) {
		t.Error("a refused activation is in the log")
	}
	a, err := b.activate("x", &two, false)
	if err != nil || a.AfterFlips != 2 || a.Generation != 2 || a.From != 1 || a.Position != b.position {
		t.Errorf("%+v %v", a, err)
	}
}

// TestRollbackUnseen: while the active generation serves on no node, the way back needs no comparison.
func TestRollbackUnseen(t *testing.T) {
	b := newReviewed(t)
	_, err := b.activate("x", nil, false)
	b.is("an activation", err, "")
	b.voters.switching, b.voters.unopened = true, true
	back, err := b.Generations.Rollback(t.Context(), wire.RollbackRequest{Op: wire.Op{OpID: "y"}}, as("alice"))
	if err != nil || back.Generation != 1 || back.From != 2 || len(back.Reporters) != 0 ||
		!slices.Equal(back.Absent, []string{ledgertest.Node}) || b.voters.Active() != 1 {
		t.Errorf("%+v %v", back, err)
	}
}

// TestDiffAndFlips: a review counts each submission that changed, and pages over them with filters.
func TestDiffAndFlips(t *testing.T) {
	b := newReviewed(t)
	ctx := t.Context()
	for _, shard := range []string{"b", "a", "b"} {
		b.submit(nodetest.Record{Shard: shard, Epoch: int64(b.position) + 9, Root: shard, Near: true})
		b.review()
	}
	d := b.review()
	if d.Flips != 4 || d.Direct+d.Indirect != 4 || d.Events != 4 || d.Against != 1 || d.ByShard["a"] != 2 ||
		d.ByShard["b"] != 2 || d.First == 0 || d.Last != d.Position {
		t.Errorf("%+v", d)
	}
	_, err := b.Generations.Diff(ctx, 2, d.Position+1)
	b.is("a diff of what is to come", err, wire.CodeBehind)
	_, err = b.Generations.Flips(ctx, api.FlipsQuery{Generation: 2, Position: d.Position + 1, FromSeq: 1, Limit: 1})
	b.is("flips of what is to come", err, wire.CodeBehind)
	var seen []uint64
	for q := (api.FlipsQuery{Generation: 2, FromSeq: 1, Limit: 3}); q.FromSeq != 0; {
		page, err := b.Generations.Flips(ctx, q)
		if err != nil || len(page.Items) > q.Limit {
			t.Fatalf("%+v %v", page, err)
		}
		for _, f := range page.Items {
			seen = append(seen, f.Seq)
		}
		q.FromSeq = page.Next
	}
	if len(seen) != 4 || !slices.IsSorted(seen) || len(slices.Compact(seen)) != 4 {
		t.Errorf("pages over %v", seen)
	}
	for name, c := range map[string]struct {
		q    api.FlipsQuery
		want int
	}{
		"a shard":          {api.FlipsQuery{Shard: "b"}, 2},
		"a key":            {api.FlipsQuery{Key: b.key.ID}, 4},
		"another key":      {api.FlipsQuery{Key: "x"}, 0},
		"another reason":   {api.FlipsQuery{Reason: "x"}, 0},
		"an earlier event": {api.FlipsQuery{Position: d.First}, 1},
	} {
		c.q.Generation, c.q.FromSeq, c.q.Limit = 2, 1, 10
		page, err := b.Generations.Flips(ctx, c.q)
		if err != nil || len(page.Items) != c.want || page.Next != 0 {
			t.Errorf("%s: %+v %v", name, page, err)
		}
		for _, f := range page.Items {
			if f.Old.Outcome == f.New.Outcome || !f.Old.Accepted || f.New.Accepted || f.New.Policy != b.policy {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// TestNoComparison: what cannot be compared is refused for its own reason.
func TestNoComparison(t *testing.T) {
	b := newReviewed(t)
	ctx := t.Context()
	if _, err := b.Generations.Diff(ctx, 9, 0); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a generation that never was: %v", err)
	}
	_, err := b.Generations.Diff(ctx, 1, 0)
	b.is("the active generation", err, wire.CodeStale)
	b.voters.unopened = true
	_, err = b.Generations.Flips(ctx, api.FlipsQuery{Generation: 2, FromSeq: 1, Limit: 1})
	b.is("a generation that this node has not begun", err, wire.CodeBehind)
	b.voters.unopened = false
	_, err = b.Generations.DropGeneration(ctx, 2, wire.Op{}, as("alice"))
	b.is("a drop", err, "")
	_, err = b.activate("x", nil, true)
	b.is("a dropped generation is activated", err, wire.CodeStale)
	_, err = b.Generations.DropGeneration(ctx, 2, wire.Op{}, as("alice"))
	b.is("a second drop", err, wire.CodeStale)
	if _, err = b.Generations.DropGeneration(ctx, 9, wire.Op{}, as("alice")); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the drop of a generation that never was: %v", err)
	}
}
