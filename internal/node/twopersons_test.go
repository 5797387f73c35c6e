package node_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestTwoPersonsNotByAChain: who makes a token, with it another one, and with that a third, is still one
// person, whichever end asks. Two whose tokens a third person made are two.
func TestTwoPersonsNotByAChain(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TwoPerson = true })
	r := newRecounter(t, c)
	ctx := r.ctx
	aliceText, _ := newToken(t, ctx, c, 0, wire.RoleOperator, "alice", time.Hour)
	bobText, _ := newToken(t, ctx, c, 0, wire.RoleResponder, "bob", time.Hour)
	people := map[string]*client.Client{"alice": as(t, c, 0, aliceText), "bob": as(t, c, 0, bobText)}
	maker := people["alice"]
	for _, name := range []string{"eve", "trudy", "mallory"} {
		text, id, err := wire.NewToken(wire.RoleOperator)
		r.must(err)
		_, err = maker.CreateToken(ctx, wire.TokenRequest{
			ID:        id,
			Name:      name,
			Role:      wire.RoleOperator,
			Digest:    wire.TokenDigest(text),
			ExpiresAt: wire.Time(time.Now().Add(time.Hour)),
		})
		r.must(err)
		maker = as(t, c, 0, text)
		people[name] = maker
	}
	_, err := people["bob"].Freeze(ctx, wire.FreezeRequest{Op: wire.Op{Reason: "x"}, Scope: wire.FreezeAll})
	r.must(err)
	thaw := func(name, opID string) error {
		_, err := people[name].Thaw(ctx, wire.FreezeRequest{
			Op:    wire.Op{OpID: opID, Reason: "x"},
			Scope: wire.FreezeAll,
		})
		return err
	}
	for asker, approvers := range map[string][]string{
		"alice":   {"eve", "trudy", "mallory"},
		"mallory": {"alice", "eve", "trudy"},
		"eve":     {"alice", "trudy", "mallory"},
	} {
		opID := "thaw-" + asker
		var p *wire.Problem
		if err := thaw(asker, opID); !errors.As(err, &p) || p.Code != wire.CodeApprovalNeeded {
			t.Errorf("%s alone: %v", asker, err)
		}
		for _, name := range approvers {
			if _, err := people[name].Approve(ctx, wire.ApprovalRequest{Approve: opID}); !isStatus(err, 403) {
				t.Errorf("%s asks, %s approves: %v", asker, name, err)
			}
			if err := thaw(name, opID); !errors.As(err, &p) || p.Code != wire.CodeApprovalNeeded {
				t.Errorf("%s asks, %s asks too: %v", asker, name, err)
			}
		}
	}
	if _, err := people["bob"].Approve(ctx, wire.ApprovalRequest{Approve: "thaw-mallory"}); err != nil {
		t.Errorf("bob is somebody else: %v", err)
	}
	r.must(thaw("mallory", "thaw-mallory"))
}

// TestTwoPersons: an operation that needs a second actor is done once another one has approved the same request, and
// by no trick of the first.
func TestTwoPersons(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TwoPerson = true })
	r := newRecounter(t, c)
	ctx := r.ctx
	aliceText, _ := newToken(t, ctx, c, 0, wire.RoleOperator, "alice", time.Hour)
	bobText, _ := newToken(t, ctx, c, 0, wire.RoleResponder, "bob", time.Hour)
	alice, bob := as(t, c, 0, aliceText), as(t, c, 0, bobText)
	text, id, err := wire.NewToken(wire.RoleResponder)
	r.must(err)
	_, err = alice.CreateToken(ctx, wire.TokenRequest{
		ID:        id,
		Name:      "puppet",
		Role:      wire.RoleResponder,
		Digest:    wire.TokenDigest(text),
		ExpiresAt: wire.Time(time.Now().Add(time.Hour)),
	})
	r.must(err)
	puppet := as(t, c, 0, text)
	secondText, _ := newToken(t, ctx, c, 0, wire.RoleResponder, "Alice", time.Hour)
	f := nodetest.NewRecords(t)
	if status, code := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	number := r.start(r.publish("kernel: 1\nparams: {tol_d: \"0.10\"}\n"))
	d := r.diff(number)
	needed := func(err error) {
		t.Helper()
		var p *wire.Problem
		if !errors.As(err, &p) || p.Code != wire.CodeApprovalNeeded {
			t.Errorf("%v", err)
		}
	}
	activate := func(k *client.Client, opID, diff string) (*wire.ActivateAnswer, error) {
		return k.Activate(ctx, number, wire.ActivateRequest{Op: wire.Op{OpID: opID, Reason: "reviewed"}, Diff: diff})
	}
	for range 2 {
		_, err := activate(alice, "x", d.Digest)
		needed(err)
	}
	if _, err := bob.Approve(ctx, wire.ApprovalRequest{Approve: "y"}); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("nobody has asked for that: %v", err)
	}
	for name, k := range map[string]*client.Client{
		"herself":         alice,
		"her puppet":      puppet,
		"her other token": as(t, c, 0, secondText),
	} {
		if _, err := k.Approve(ctx, wire.ApprovalRequest{Approve: "x"}); !isStatus(err, 403) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "her puppet" {
			_, err := activate(k, "x", d.Digest) // asking too is no second yes
			needed(err)
		}
	}
	page, err := bob.Approvals(ctx)
	if err != nil || len(page.Items) != 1 || page.Items[0].Actors[0] != "alice" ||
		!strings.Contains(page.Items[0].Request, d.Digest) || page.Items[0].Reason != "reviewed" {
		t.Errorf("%+v %v", page, err)
	}
	if a, err := bob.Approve(ctx, wire.ApprovalRequest{
		Approve: "x",
		Op:      wire.Op{Reason: "looked"},
	}); err != nil || !slices.Contains(a.Actors, "bob") {
		t.Fatalf("%+v %v", a, err)
	}
	if _, err := activate(alice, "x", d.Digest[:78]+"00"); !isStatus(err, 409) {
		t.Errorf("another diff than the one approved: %v", err)
	}
	done, err := activate(alice, "x", d.Digest)
	if err != nil || done.Generation != number {
		t.Fatalf("%+v %v", done, err)
	}
	if got := opOf(t, ctx, c, done.Seq); got.Actor != "alice" || got.OpID != "x" {
		t.Errorf("%+v", got)
	}
	if again, err := activate(alice, "x", d.Digest); err != nil || again.Seq != done.Seq {
		t.Errorf("%+v %v", again, err)
	}
	if page, err := bob.Approvals(ctx); err != nil || len(page.Items) != 0 {
		t.Errorf("%+v %v", page, err)
	}
	_, err = alice.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}})
	needed(err)
	if back, err := bob.Rollback(ctx, wire.RollbackRequest{Op: wire.Op{OpID: "back"}}); err != nil ||
		back.Generation != 1 {
		t.Errorf("both have asked for the same: %+v %v", back, err)
	}
	if status, body := c.Once(0, "POST", "/v1/generations/rollback", []byte("{}")); status != 400 {
		t.Errorf("without an op_id: %d %s", status, body)
	}
	freeze := wire.FreezeRequest{Scope: wire.FreezeAll, Op: wire.Op{Reason: "drill"}}
	if _, err := bob.Freeze(ctx, freeze); err != nil {
		t.Errorf("a freeze waits for nobody: %v", err)
	}
	freeze.OpID = "open"
	_, err = bob.Thaw(ctx, freeze)
	needed(err)
	if f, err := alice.Thaw(ctx, freeze); err != nil || f.ThawedSeq == 0 {
		t.Errorf("both have asked for the same thaw: %+v %v", f, err)
	}
}

// TestRevokedApprover: an approval under a token that was revoked since does not count, and an approval of one
// subject is none of another.
func TestRevokedApprover(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TwoPerson = true })
	r := newRecounter(t, c)
	aliceText, _ := newToken(t, r.ctx, c, 0, wire.RoleOperator, "alice", time.Hour)
	bobText, bobID := newToken(t, r.ctx, c, 0, wire.RoleResponder, "bob", time.Hour)
	alice, bob := as(t, c, 0, aliceText), as(t, c, 0, bobText)
	thaw := wire.FreezeRequest{Scope: wire.FreezeShard, Subject: "lab", Op: wire.Op{Reason: "r", OpID: "o"}}
	for _, subject := range []string{"lab", "lab\u00a0"} {
		_, err := alice.Freeze(r.ctx, wire.FreezeRequest{
			Scope:   wire.FreezeShard,
			Subject: subject,
			Op:      wire.Op{Reason: "r"},
		})
		r.must(err)
	}
	if _, err := alice.Thaw(r.ctx, thaw); !isStatus(err, 409) {
		t.Fatal(err)
	}
	_, err := bob.Approve(r.ctx, wire.ApprovalRequest{Approve: "o"})
	r.must(err)
	other := thaw
	other.Subject = "lab\u00a0"
	if a, err := alice.Thaw(r.ctx, other); !isStatus(err, 409) {
		t.Errorf("another shard was thawed: %+v %v", a, err)
	}
	_, err = c.Client.RevokeToken(r.ctx, bobID, wire.TokenRevokeRequest{})
	r.must(err)
	if a, err := alice.Thaw(r.ctx, thaw); !isStatus(err, 409) {
		t.Errorf("thawed with the yes of a revoked token: %+v %v", a, err)
	}
	if page, err := alice.Approvals(r.ctx); err != nil || len(page.Items) != 1 ||
		!slices.Equal(page.Items[0].Actors, []string{"alice"}) {
		t.Errorf("%+v %v", page, err)
	}
}
