package operator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/wire"
)

func twoPersons(o *operator.Options) { o.TwoPerson = true }

// approve approves what op_id x asks for.
func (b *bench) approve(opID, actor string, run bool) (*wire.ApprovalAnswer, error) {
	b.Helper()
	return b.Operations.Approve(b.Context(), wire.ApprovalRequest{Approve: opID, Run: run}, as(actor))
}

// dangerous are the operations that need two persons. alice asks for each under the op_id x.
var dangerous = map[string]struct {
	prepare func(*reviewed)
	ask     func(*reviewed) error
	kind    event.Kind
	words   string // of the request
}{
	wire.OperationActivate: {
		ask:   func(b *reviewed) error { _, err := b.activate("x", new(uint64), true); return err },
		kind:  event.GenerationActivated,
		words: "with at most 0 new flips, although",
	},
	wire.OperationRollback: {
		prepare: func(b *reviewed) {
			b.ledger.Add(event.GenerationActivated, &event.GenerationActivatedV1{Generation: 2, From: 1,
				Position: b.position, Diff: make([]byte, 32)})
			if err := b.voters.AwaitServing(b.Context()); err != nil {
				b.Fatal(err)
			}
		},
		ask: func(b *reviewed) error {
			_, err := b.Generations.Rollback(b.Context(), wire.RollbackRequest{Op: wire.Op{OpID: "x"}}, as("alice"))
			return err
		},
		kind:  event.GenerationActivated,
		words: "roll back from generation 2 to generation 1",
	},
	wire.OperationThaw: {
		prepare: func(b *reviewed) {
			_, err := b.Freezes.Freeze(b.Context(), freezeOf(wire.FreezeShard, "lab", ""), as("alice"))
			b.is("a freeze", err, "")
		},
		ask: func(b *reviewed) error {
			_, err := b.Freezes.Thaw(b.Context(), freezeOf(wire.FreezeShard, "lab", "x"), as("alice"))
			return err
		},
		kind:  event.Thawed,
		words: `thaw shard "lab"`,
	},
	wire.OperationApply: {
		ask: func(b *reviewed) error {
			_, err := b.Policies.ApplyPolicy(b.Context(), b.policy, wire.ApplyRequest{Op: wire.Op{OpID: "x"}},
				as("alice"))
			return err
		},
		kind:  event.PolicyApplied,
		words: "to new submissions",
	},
}

// TestDangerousOperations: each of them needs two persons, is kept in the log as it was asked for, and is carried
// out from there by the one who asked.
func TestDangerousOperations(t *testing.T) {
	for name, c := range dangerous {
		b := newReviewed(t, twoPersons)
		if c.prepare != nil {
			c.prepare(b)
		}
		b.is(name, c.ask(b), wire.CodeApprovalNeeded)
		asked, err := b.approve("x", "bob", false)
		b.is(name+" by another", err, "")
		if asked.State != wire.ApprovalApproved || asked.Name != name || asked.Operation == nil ||
			asked.Operation.Name != name || !strings.Contains(asked.Request, c.words) || asked.Result != nil {
			t.Errorf("%s: %+v", name, asked)
		}
		if seq := b.ledger.State.Control().OpSeq("x"); seq != 0 {
			t.Errorf("%s: an approval alone carried it out, event %d", name, seq)
		}
		done, err := b.approve("x", "alice", true)
		b.is(name+" carried out", err, "")
		items, _, err := b.Operations.List(b.Context(), b.ledger.State.Control().OpSeq("x"), 1)
		if err != nil || len(items) != 1 || items[0].Kind != c.kind.String() || items[0].OpID != "x" ||
			items[0].Effect != wire.EffectApplied || !json.Valid(done.Result) || done.State != wire.ApprovalDone {
			t.Errorf("%s: %+v %+v %v", name, items, done, err)
		}
		_, err = b.approve("x", "carol", false)
		b.is(name+" is approved after it was done", err, wire.CodeStale)
	}
}

// TestApprovedAsAsked: what was approved is not what a person who changes a detail has carried out.
func TestApprovedAsAsked(t *testing.T) {
	b := newReviewed(t, twoPersons)
	one, two := uint64(1), uint64(2)
	_, err := b.activate("x", &one, false)
	b.is("the request", err, wire.CodeApprovalNeeded)
	_, err = b.approve("x", "bob", false)
	b.is("its approval", err, "")
	for name, change := range map[string]func() error{
		"more new flips":       func() error { _, err := b.activate("x", &two, false); return err },
		"any number of flips":  func() error { _, err := b.activate("x", nil, false); return err },
		"force":                func() error { _, err := b.activate("x", &one, true); return err },
		"another operation":    func() error { _, err := b.Freezes.Thaw(b.Context(), freezeAll("x"), as("bob")); return err },
		"another policy":       func() error { return b.apply("x") },
		"without op_id":        func() error { _, err := b.activate("", &one, false); return err },
		"under another op_id":  func() error { _, err := b.activate("y", &one, false); return err },
		"nothing to thaw at z": func() error { _, err := b.Freezes.Thaw(b.Context(), freezeAll("z"), as("bob")); return err },
	} {
		want := reused
		switch name {
		case "without op_id":
			want = wire.CodeBadRequest
		case "under another op_id", "nothing to thaw at z":
			want = wire.CodeApprovalNeeded
		}
		b.is(name, change(), want)
	}
	if b.voters.Active() != 1 {
		t.Error("a changed request was carried out")
	}
	_, err = b.activate("x", &one, false)
	b.is("as it was approved", err, "")
	if b.voters.Active() != 2 {
		t.Error("it was not carried out")
	}
}

func (b *reviewed) apply(opID string) error {
	_, err := b.Policies.ApplyPolicy(b.Context(), b.policy, wire.ApplyRequest{Op: wire.Op{OpID: opID}}, as("alice"))
	return err
}

// TestApprovalsCount: an approval counts for an hour from itself, and only while its credential does.
func TestApprovalsCount(t *testing.T) {
	b := newBench(t, twoPersons)
	ctx := t.Context()
	ask := func(opID string, want wire.Code) {
		t.Helper()
		_, err := b.Freezes.Thaw(ctx, freezeAll(opID), as("alice"))
		b.is("thaw "+opID, err, want)
	}
	_, err := b.Freezes.Freeze(ctx, freezeAll(""), as("alice"))
	b.is("a freeze", err, "")
	ask("x", wire.CodeApprovalNeeded)
	b.ledger.Advance(50 * time.Minute)
	_, err = b.approve("x", "bob", false)
	b.is("an approval", err, "")
	b.ledger.Advance(10 * time.Minute)
	_, err = b.approve("x", "bob", true)
	b.is("the request has ended", err, wire.CodeApprovalNeeded)
	ask("y", wire.CodeApprovalNeeded)
	_, err = b.approve("y", "bob", false)
	b.is("an approval of the next one", err, "")
	_, err = b.Tokens.RevokeToken(ctx, "cert:bob", wire.TokenRevokeRequest{}, as("carol"))
	b.is("the end of a credential", err, "")
	ask("y", wire.CodeApprovalNeeded)
	ask("x", wire.CodeApprovalNeeded)
	_, err = b.Tokens.RevokeToken(ctx, "cert:alice", wire.TokenRevokeRequest{}, as("carol"))
	b.is("the end of the other", err, "")
	for _, opID := range []string{"x", "y"} {
		_, err = b.approve(opID, "dave", true)
		b.is("nobody asks any more", err, wire.CodeNotFound)
	}
	if b.Freezes.InForce() != 1 {
		t.Error("the freeze has ended")
	}
}

// TestListOfApprovals: a request waits, is approved, is done and expires, each in its own words.
func TestListOfApprovals(t *testing.T) {
	b := newBench(t, twoPersons)
	ctx := t.Context()
	list := func(when string, all bool, want ...string) {
		t.Helper()
		rows, err := b.Operations.Approvals(ctx, all)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, a := range rows {
			got = append(got, a.OpID+" "+a.State+" "+strings.Join(a.Actors, "+"))
		}
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s: %q", when, got)
		}
	}
	list("at first", true)
	for _, scope := range []string{"a", "b"} {
		_, err := b.Freezes.Freeze(ctx, freezeOf(wire.FreezeShard, scope, ""), as("alice"))
		b.is("a freeze", err, "")
		_, err = b.Freezes.Thaw(ctx, freezeOf(wire.FreezeShard, scope, scope), as("alice"))
		b.is("a request", err, wire.CodeApprovalNeeded)
	}
	list("two requests", false, "a asked alice", "b asked alice")
	rows, err := b.Operations.Approvals(ctx, false)
	if err != nil || rows[0].Reason != "drill" || rows[0].Ticket != "T-2" ||
		rows[0].AskedAt != "2026-01-02T03:04:05.000000000Z" || rows[0].ExpiresAt != "2026-01-02T04:04:05.000000000Z" {
		t.Errorf("%+v %v", rows, err)
	}
	_, err = b.approve("a", "bob", false)
	b.is("an approval", err, "")
	list("one of them approved", false, "a approved alice+bob", "b asked alice")
	_, err = b.approve("a", "bob", true)
	b.is("carried out", err, "")
	list("those that are left", false, "b asked alice")
	list("all", true, "a done alice+bob", "b asked alice")
	b.ledger.Advance(time.Hour)
	list("an hour later", true)
}

// TestUnreadableOperation: a request that this release cannot carry out is refused, even with two approvals.
func TestUnreadableOperation(t *testing.T) {
	b := newBench(t, twoPersons)
	for opID, operation := range map[string]string{"old": "", "new": `{"act":"explode"}`} {
		b.ledger.Add(event.ActApproved, &event.ActApprovedV1{ActOpId: opID, Act: "explode", Request: "explode",
			Operation: []byte(operation), Op: &event.OpV1{Actor: "alice", Credential: "cert:alice"}})
		a, err := b.approve(opID, "bob", false)
		b.is(opID, err, "")
		if (a.Operation != nil) != (operation != "") || a.State != wire.ApprovalApproved {
			t.Errorf("%s: %+v", opID, a)
		}
		_, err = b.approve(opID, "bob", true)
		b.is(opID+" carried out", err, wire.CodeStale)
	}
}

// TestListOfOperations: the list has every operation with its effect, in pages, and no submission.
func TestListOfOperations(t *testing.T) {
	b := newReviewed(t)
	ctx := t.Context()
	meta := as("alice")
	meta.RequestID, meta.Via = "r-1", "n7"
	for range 2 {
		_, err := b.Freezes.Freeze(ctx, freezeAll("f"), meta)
		b.is("a freeze", err, "")
	}
	_, err := b.Freezes.Thaw(ctx, freezeOf(wire.FreezeShard, "lab", "t"), api.Meta{Identity: meta.Identity})
	b.is("a thaw of nothing", err, wire.CodeStale)
	var got []string
	var freeze wire.OperationItem
	for from := uint64(1); from != 0; {
		items, next, err := b.Operations.List(ctx, from, 2)
		if err != nil || len(items) > 2 || next != 0 && next <= from {
			t.Fatalf("%d items, next %d, %v", len(items), next, err)
		}
		for _, it := range items {
			got = append(got, it.Kind+" "+it.Effect)
			if it.Kind == event.Frozen.String() && it.Effect == wire.EffectApplied {
				freeze = it
			}
		}
		from = next
	}
	want := []string{"policy_published applied", "generation_started applied", "frozen applied", "frozen repeated",
		"thawed ignored"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if freeze.Actor != "alice" || freeze.Role != string(wire.RoleOperator) || freeze.Credential != "cert:alice" ||
		freeze.RequestID != "r-1" || freeze.Node != "n7" || freeze.OpID != "f" || freeze.Reason != "drill" {
		t.Errorf("%+v", freeze)
	}
}
