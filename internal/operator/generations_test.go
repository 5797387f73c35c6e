package operator_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestRoomForGeneration: every member that can be reached must have the space of two generations and the reserve.
func TestRoomForGeneration(t *testing.T) {
	const used, reserve = 1000, 50
	for name, c := range map[string]struct {
		other wire.NodeProgress
		want  wire.Code
	}{
		"a byte too few": {wire.NodeProgress{Node: "n2", DiskBytes: used, DiskFree: 2*used + reserve - 1}, wire.CodeDiskFull},
		"just enough":    {wire.NodeProgress{Node: "n2", DiskBytes: used, DiskFree: 2*used + reserve}, ""},
		"unreachable":    {wire.NodeProgress{Node: "n2", State: recount.StateUnreachable}, ""},
	} {
		v := &voters{others: func(wire.NodeProgress) []wire.NodeProgress { return []wire.NodeProgress{c.other} }}
		b := newBench(t, func(o *operator.Options) {
			v.Manager = o.Recounts.(*recount.Manager)
			o.Recounts, o.DiskReserve = v, func() uint64 { return reserve }
		})
		p, _, err := b.Policies.PublishPolicy(t.Context(), wire.PolicyRequest{Document: "kernel: 1\n"}, as("alice"))
		b.is("a policy", err, "")
		if started := b.grow(func() {
			_, err = b.Generations.StartGeneration(t.Context(), wire.GenerationRequest{Policy: p.ID, From: 1}, as("alice"))
			b.is(name, err, c.want)
		}); started != (c.want == "") {
			t.Errorf("%s: in the log %v", name, started)
		}
	}
}

// TestStatesOfGenerations: a generation is ready once all voters that can be reached agree, and one is built at a
// time. A later one evaluates revoked keys like the active one, unless it is told otherwise.
func TestStatesOfGenerations(t *testing.T) {
	b := newReviewed(t)
	ctx := t.Context()
	start := func(keys string) (*wire.GenerationAnswer, error) {
		return b.Generations.StartGeneration(ctx, wire.GenerationRequest{Policy: b.policy, From: 1, Keys: keys}, as("alice"))
	}
	state := func(number uint32, want string) {
		t.Helper()
		if g, err := b.Generations.Generation(ctx, number); err != nil || g.State != want {
			t.Errorf("generation %d: %+v %v", number, g, err)
		}
	}
	state(1, wire.GenerationActive)
	state(2, wire.GenerationReady)
	b.voters.others = func(own wire.NodeProgress) []wire.NodeProgress {
		own.Node, own.DiffAt = "n2", own.DiffAt+"0"
		return []wire.NodeProgress{own}
	}
	state(2, wire.GenerationBuilding)
	b.voters.others = nil
	if _, err := b.Generations.Generation(ctx, 9); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a generation that never was: %v", err)
	}
	_, err := start("")
	b.is("two are built", err, wire.CodeStale)
	b.hints(err, "activate it or drop it first")
	_, err = b.Generations.DropGeneration(ctx, 2, wire.Op{}, as("alice"))
	b.is("a drop", err, "")
	state(2, wire.GenerationDropped)
	_, err = b.Generations.StartGeneration(ctx, wire.GenerationRequest{Policy: b.policy, From: 9999}, as("alice"))
	b.is("from beyond the end", err, wire.CodeStale)
	b.hints(err, "beyond the end of the log")
	_, err = b.Generations.StartGeneration(ctx, wire.GenerationRequest{Policy: strings.Repeat("0", 64)}, as("alice"))
	b.is("a policy that is not published", err, wire.CodeNotFound)
	g, err := start("")
	if err != nil || g.Keys != wire.KeysAsOf || g.Policy != b.policy {
		t.Errorf("%+v %v", g, err)
	}
	page, err := b.Generations.Generations(ctx)
	if err != nil || len(page.Items) != 3 || page.Active != 1 || page.Items[0].State != wire.GenerationActive ||
		page.Items[1].State != wire.GenerationDropped {
		t.Errorf("%+v %v", page, err)
	}
}

// TestPublishPolicy: a policy that cannot be read, or that a voter could not fold, never reaches the log. The one
// in force has the stretches in which it was.
func TestPublishPolicy(t *testing.T) {
	var cannot error
	b := newBench(t, func(o *operator.Options) {
		o.RequireCapabilities = func(context.Context, verify.Policy) error { return cannot }
	})
	ctx := t.Context()
	publish := func(text string) (*wire.PolicyAnswer, bool, error) {
		return b.Policies.PublishPolicy(ctx, wire.PolicyRequest{Document: text}, as("alice"))
	}
	if b.grow(func() {
		_, _, err := publish("kernel: [")
		b.is("no policy", err, wire.CodeBadPolicy)
		cannot = wire.NewProblem(wire.CodeNotReady, "a voter is too old")
		_, _, err = publish("kernel: 1\n")
		b.is("a voter is too old", err, wire.CodeNotReady)
	}) {
		t.Error("a refused policy is in the log")
	}
	cannot = nil
	const text = "kernel: 1\nparams: {tol_d: \"0.10\"}\n"
	p, created, err := publish(text)
	if err != nil || !created || p.InForce || p.Source != text || len(p.Intervals) != 0 {
		t.Errorf("%v %+v %v", created, p, err)
	}
	if again, created, err := publish(text); err != nil || created || again.Seq != p.Seq {
		t.Errorf("once more: %v %+v %v", created, again, err)
	}
	b.ledger.Advance(1)
	applied, err := b.Policies.ApplyPolicy(ctx, p.ID, wire.ApplyRequest{}, as("bob"))
	b.is("its application", err, "")
	list, err := b.Policies.Policies(ctx, 0)
	if err != nil || len(list) != 2 || list[0].InForce || !list[1].InForce || len(list[0].Intervals) != 1 ||
		list[0].Intervals[0].ToSeq != applied.Seq || list[0].Intervals[0].By != wire.ByGenesis ||
		len(list[1].Intervals) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if i := list[1].Intervals[0]; i.FromSeq != applied.Seq || i.ToSeq != 0 || i.To != "" || i.Actor != "bob" ||
		i.By != wire.ByApplied || i.From != wire.TimeNS(ledgertest.Start.UnixNano()+1) {
		t.Errorf("%+v", i)
	}
	first, err := b.Policies.Policy(ctx, list[0].ID, 0)
	if err != nil || !strings.Contains(first.Source, "kernel:") {
		t.Errorf("the text of the first policy cannot be published: %+v %v", first, err)
	}
	for _, id := range []string{"", "00", strings.Repeat("0", 64)} {
		if _, err := b.Policies.Policy(ctx, id, 0); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("policy %q: %v", id, err)
		}
		if _, err := b.Policies.ApplyPolicy(ctx, id, wire.ApplyRequest{}, as("bob")); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("the application of %q: %v", id, err)
		}
	}
}
