package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// bench is an operator over a ledger in memory.
type bench struct {
	*testing.T
	*operator.Operator
	ledger *ledgertest.Ledger
}

func newBench(t *testing.T, change ...func(*operator.Options)) *bench {
	t.Helper()
	return benchOver(t, ledgertest.New(t), change...)
}

// benchOver is a bench over a ledger that the caller has started.
func benchOver(t *testing.T, l *ledgertest.Ledger, change ...func(*operator.Options)) *bench {
	t.Helper()
	o := operator.Options{
		NodeID:              ledgertest.Node,
		Voters:              func() []string { return []string{ledgertest.Node} },
		Timeout:             20 * time.Second,
		State:               l.State,
		Log:                 l.Packer,
		Quorum:              l,
		Recounts:            l.Gens,
		Clock:               l,
		Logger:              slog.New(slog.DiscardHandler),
		Verifiers:           l.Verifiers,
		RequireCapabilities: func(context.Context, verify.Policy) error { return nil },
		DiskReserve:         func() uint64 { return 0 },
		Stopping:            func() bool { return false },
		Quarantined:         func() bool { return false },
		Problem:             func(err error) error { return err },
	}
	for _, f := range change {
		f(&o)
	}
	return &bench{t, operator.New(o), l}
}

// as is a request of a person with a certificate, which nobody has created.
func as(actor string) api.Meta {
	return api.Meta{Identity: api.Identity{Actor: actor, Role: wire.RoleOperator, Credential: "cert:" + actor}}
}

// is checks the code of a problem, "" for no error.
func (b *bench) is(what string, err error, want wire.Code) {
	b.Helper()
	var p *wire.Problem
	got := wire.Code("")
	switch {
	case errors.As(err, &p):
		got = p.Code
	case err != nil:
		b.Errorf("%s: %v", what, err)
		return
	}
	if got != want {
		b.Errorf("%s: %q, not %q: %v", what, got, want, err)
	}
}

// grow reports whether f brought events into the log.
func (b *bench) grow(f func()) bool {
	before := b.ledger.Entries()
	f()
	return b.ledger.Entries() > before
}

func freezeAll(opID string) wire.FreezeRequest {
	return wire.FreezeRequest{Op: wire.Op{OpID: opID, Reason: "drill"}, Scope: wire.FreezeAll}
}

// TestTwoPersons: a thaw needs two persons who name the same operation under the same op_id. It is carried out
// once, from the log.
func TestTwoPersons(t *testing.T) {
	b := newBench(t, func(o *operator.Options) { o.TwoPerson = true })
	ctx := t.Context()
	froze, err := b.Freezes.Freeze(ctx, freezeAll("f"), as("alice"))
	b.is("one person freezes", err, "")
	_, err = b.Freezes.Thaw(ctx, freezeAll(""), as("alice"))
	b.is("without an op_id", err, wire.CodeBadRequest)
	_, err = b.Freezes.Thaw(ctx, freezeAll("x"), as("alice"))
	b.is("the first request", err, wire.CodeApprovalNeeded)
	approve := func(actor string, run bool) (*wire.ApprovalAnswer, error) {
		return b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: run}, as(actor))
	}
	if b.grow(func() {
		_, err = b.Freezes.Thaw(ctx, freezeAll("x"), as("ALICE"))
		b.is("the same person in capitals", err, wire.CodeApprovalNeeded)
		_, err = approve("alice", false)
		b.is("an own request is approved", err, wire.CodeForbidden)
		_, err = approve("Alice", true)
		b.is("an own request is carried out", err, wire.CodeApprovalNeeded)
		_, err = b.Freezes.Thaw(ctx, wire.FreezeRequest{Op: wire.Op{OpID: "x"}, Scope: wire.FreezeShard, Subject: "a"},
			as("bob"))
		b.is("another thaw under this op_id", err, wire.CodeOpIDReused)
		_, err = b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "y"}, as("bob"))
		b.is("nobody asked for it", err, wire.CodeNotFound)
	}) {
		t.Error("a refused approval is in the log")
	}
	a, err := approve("bob", true)
	b.is("the second person", err, "")
	var thawed wire.FreezeAnswer
	if err := json.Unmarshal(a.Result, &thawed); err != nil || thawed.Seq != froze.Seq || thawed.ThawedSeq == 0 ||
		a.State != wire.ApprovalDone || strings.Join(a.Actors, " ") != "alice bob" {
		t.Errorf("%+v %+v %v", a, thawed, err)
	}
	items, _, err := b.Operations.List(ctx, thawed.ThawedSeq, 10)
	if err != nil || len(items) != 1 || items[0].Actor != "bob" || items[0].OpID != "x" || items[0].Reason != "drill" {
		t.Errorf("%+v %v", items, err)
	}
	again, err := approve("alice", true)
	b.is("once more", err, "")
	if string(again.Result) != string(a.Result) {
		t.Errorf("%s, then %s", a.Result, again.Result)
	}
	if pending, err := b.Operations.Approvals(ctx, false); err != nil || len(pending) != 0 {
		t.Errorf("%+v %v", pending, err)
	}
}

// TestApprovalsEnd: after an hour a request has to be made again.
func TestApprovalsEnd(t *testing.T) {
	b := newBench(t, func(o *operator.Options) { o.TwoPerson = true })
	ctx := t.Context()
	_, err := b.Freezes.Freeze(ctx, freezeAll("f"), as("alice"))
	b.is("a freeze", err, "")
	_, err = b.Freezes.Thaw(ctx, freezeAll("x"), as("alice"))
	b.is("the request", err, wire.CodeApprovalNeeded)
	b.ledger.Advance(61 * time.Minute)
	_, err = b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: true}, as("bob"))
	b.is("an hour later", err, wire.CodeNotFound)
}

// TestOnePersonWithTwoTokens: who has created the token of another, itself or through a token that it made,
// counts as the same person.
func TestOnePersonWithTwoTokens(t *testing.T) {
	b := newBench(t, func(o *operator.Options) { o.TwoPerson = true })
	ctx := t.Context()
	token := func(id, name string, by api.Meta) api.Meta {
		t.Helper()
		_, err := b.Tokens.CreateToken(ctx, wire.TokenRequest{
			ID:        strings.Repeat(id, 16),
			Name:      name,
			Role:      wire.RoleOperator,
			Digest:    strings.Repeat("0", 64),
			ExpiresAt: "2026-06-01T00:00:00Z",
		}, by)
		b.is("a token for "+name, err, "")
		credential := event.TokenPrefix + strings.Repeat(id, 16)
		return api.Meta{Identity: api.Identity{Actor: name, Role: wire.RoleOperator, Credential: credential}}
	}
	puppet := token("a", "puppet", as("alice"))
	second := token("b", "second", puppet)
	stranger := token("c", "stranger", as("carol"))
	_, err := b.Freezes.Freeze(ctx, freezeAll("f"), as("alice"))
	b.is("a freeze", err, "")
	_, err = b.Freezes.Thaw(ctx, freezeAll("x"), as("alice"))
	b.is("the request", err, wire.CodeApprovalNeeded)
	for _, who := range []api.Meta{puppet, second} {
		_, err = b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "x"}, who)
		b.is(who.Actor, err, wire.CodeForbidden)
	}
	_, err = b.Operations.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: true}, stranger)
	b.is("somebody else", err, "")
}

// TestRepeatedOpID: the same operation under the same op_id has its first result, another one is refused, and
// neither of them changes anything.
func TestRepeatedOpID(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	publish := func(doc string) string {
		t.Helper()
		a, _, err := b.Policies.PublishPolicy(ctx, wire.PolicyRequest{Document: doc}, as("alice"))
		b.is("a policy", err, "")
		return a.ID
	}
	plain, lax := publish("kernel: 1\n"), publish("kernel: 1\nparams: {tol_d: \"0.10\"}\n")
	token := func(id string) wire.TokenRequest {
		return wire.TokenRequest{Op: wire.Op{OpID: "token"}, ID: strings.Repeat(id, 16), Name: id, Role: wire.RoleAuditor,
			Digest: strings.Repeat("0", 64), ExpiresAt: "2026-06-01T00:00:00Z"}
	}
	for name, do := range map[string]func(other bool) (uint64, error){
		"apply": func(other bool) (uint64, error) {
			id := plain
			if other {
				id = lax
			}
			a, err := b.Policies.ApplyPolicy(ctx, id, wire.ApplyRequest{Op: wire.Op{OpID: "apply"}}, as("alice"))
			if err != nil {
				return 0, err
			}
			return a.Seq, nil
		},
		"known shards": func(other bool) (uint64, error) {
			patterns := []string{"a*"}
			if other {
				patterns = []string{"b*"}
			}
			a, err := b.KnownShards.AddKnownShards(ctx,
				wire.KnownShardsRequest{Op: wire.Op{OpID: "shards"}, Patterns: patterns}, as("alice"))
			if err != nil {
				return 0, err
			}
			return a.Seq, nil
		},
		"token": func(other bool) (uint64, error) {
			r := token("d")
			if other {
				r = token("e")
			}
			a, err := b.Tokens.CreateToken(ctx, r, as("alice"))
			if err != nil {
				return 0, err
			}
			return a.Seq, nil
		},
		"generation": func(other bool) (uint64, error) {
			r := wire.GenerationRequest{Op: wire.Op{OpID: "start"}, Policy: lax, From: 1}
			if other {
				r.Policy = plain
			}
			a, err := b.Generations.StartGeneration(ctx, r, as("alice"))
			if err != nil {
				return 0, err
			}
			return a.StartedSeq, nil
		},
	} {
		first, err := do(false)
		b.is(name, err, "")
		again, err := do(false)
		b.is(name+" again", err, "")
		if first != again || first == 0 {
			t.Errorf("%s: event %d, then %d", name, first, again)
		}
		_, err = do(true)
		b.is("another "+name, err, wire.CodeOpIDReused)
	}
	if got := len(b.ledger.State.Control().Generations()); got != 2 {
		t.Errorf("%d generations", got)
	}
}

// TestRefusals: a node that stops or is quarantined does no operation, and neither does one without a quorum.
// The reasons come in this order, and nothing reaches the log.
func TestRefusals(t *testing.T) {
	stopping, quarantined := true, true
	b := newBench(t, func(o *operator.Options) {
		o.Stopping = func() bool { return stopping }
		o.Quarantined = func() bool { return quarantined }
	})
	b.ledger.LoseQuorum()
	freeze := func(what string, want wire.Code) {
		t.Helper()
		if b.grow(func() {
			_, err := b.Freezes.Freeze(t.Context(), freezeAll("f"), as("alice"))
			b.is(what, err, want)
		}) {
			t.Errorf("%s: it is in the log", what)
		}
	}
	freeze("it stops", wire.CodeShuttingDown)
	stopping = false
	freeze("it is quarantined", wire.CodeNotReady)
	quarantined = false
	freeze("it has no quorum", wire.CodeNoLeader)
}

// TestRevokedOnTheWay: an operation whose credential was revoked after its authentication is refused.
func TestRevokedOnTheWay(t *testing.T) {
	b := newBench(t)
	b.ledger.Add(event.TokenRevoked, &event.TokenRevokedV1{
		Id: "cert:mallory",
		Op: &event.OpV1{Actor: "alice", Credential: "cert:alice"},
	})
	if b.grow(func() {
		_, err := b.Freezes.Freeze(t.Context(), freezeAll("f"), as("mallory"))
		b.is("a revoked certificate", err, wire.CodeUnauthorized)
	}) {
		t.Error("it is in the log")
	}
	if !b.Tokens.CertificateRevoked("mallory") || b.Tokens.CertificateRevoked("alice") {
		t.Error("the wrong certificate is revoked")
	}
}

// TestActivate: a generation is activated under the diff that was reviewed and under no other one. A repetition
// has the first result, and the way back is open.
func TestActivate(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	p, _, err := b.Policies.PublishPolicy(ctx, wire.PolicyRequest{Document: "kernel: 1\nparams: {tol_d: \"0.10\"}\n"},
		as("alice"))
	b.is("a policy", err, "")
	g, err := b.Generations.StartGeneration(ctx, wire.GenerationRequest{Policy: p.ID, From: 1}, as("alice"))
	b.is("a generation", err, "")
	r, changed := b.ledger.Gens.Get(g.Generation)
	for r == nil || r.Comparison() == nil {
		<-changed
		r, changed = b.ledger.Gens.Get(g.Generation)
	}
	if err := r.Comparison().WaitSeq(ctx, g.StartedSeq); err != nil {
		t.Fatal(err)
	}
	d, err := b.Generations.Diff(ctx, g.Generation, 0)
	b.is("a diff", err, "")
	none := uint64(0)
	activate := func(opID, diff string) (*wire.ActivateAnswer, error) {
		return b.Generations.Activate(ctx, g.Generation,
			wire.ActivateRequest{Op: wire.Op{OpID: opID}, Diff: diff, MaxNewFlips: &none}, as("alice"))
	}
	_, err = activate("x", "00")
	b.is("no digest", err, wire.CodeBadRequest)
	_, err = activate("x", d.Digest[:16]+strings.Repeat("0", 64))
	b.is("another diff", err, wire.CodeStale)
	done, err := activate("x", d.Digest)
	b.is("the diff that was reviewed", err, "")
	again, err := activate("x", d.Digest)
	b.is("once more", err, "")
	if done.Seq != again.Seq || done.From != 1 || b.ledger.Gens.Serving().Number() != g.Generation {
		t.Errorf("%+v, then %+v", done, again)
	}
	_, err = activate("y", d.Digest)
	b.is("under another op_id", err, wire.CodeStale)
	back, err := b.Generations.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "z"}}, as("alice"))
	b.is("the way back", err, "")
	if back.Generation != 1 || b.ledger.Gens.Serving().Number() != 1 {
		t.Errorf("%+v", back)
	}
	_, err = b.Generations.DropGeneration(ctx, 1, wire.Op{}, as("alice"))
	b.is("the active generation is dropped", err, wire.CodeStale)
	_, err = b.Generations.DropGeneration(ctx, g.Generation, wire.Op{}, as("alice"))
	b.is("the other one is dropped", err, "")
}
