package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func isCode(err error, code wire.Code) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Code == code
}

// TestApprovedIsCarriedOut: a request that two actors have approved is carried out by its op_id, in the words of
// the log, however many records came in meanwhile. Neither of them can do it alone.
func TestApprovedIsCarriedOut(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TwoPerson = true })
	r := newRecounter(t, c)
	ctx := r.ctx
	aliceText, _ := newToken(t, ctx, c, 0, wire.RoleOperator, "alice", time.Hour)
	bobText, _ := newToken(t, ctx, c, 0, wire.RoleResponder, "bob", time.Hour)
	alice, bob := as(t, c, 0, aliceText), as(t, c, 0, bobText)
	f := nodetest.NewRecords(t)
	submit := func(epoch int64) {
		t.Helper()
		if status, code := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"})); status != 200 {
			t.Fatalf("%d %s", status, code)
		}
	}
	submit(1)
	policy := r.publish("kernel: 1\nparams: {tol_d: \"0.10\"}\n")
	number := r.start(policy)
	d := r.diff(number)
	limit := uint64(3)
	_, err := alice.Activate(ctx, number, wire.ActivateRequest{
		Op:          wire.Op{OpID: "x", Reason: "reviewed", Ticket: "INC-7"},
		Diff:        d.Digest,
		MaxNewFlips: &limit,
	})
	if !isCode(err, wire.CodeApprovalNeeded) {
		t.Fatal(err)
	}
	submit(2) // the digest of the diff is another one now
	if _, err := alice.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: true}); !isCode(err,
		wire.CodeApprovalNeeded) {
		t.Errorf("alice alone: %v", err)
	}
	page, err := bob.Approvals(ctx)
	if err != nil || len(page.Items) != 1 || page.Items[0].State != wire.ApprovalAsked ||
		page.Items[0].Operation.Position() != d.Position || *page.Items[0].Operation.MaxNewFlips != 3 {
		t.Fatalf("%+v %v", page, err)
	}
	got, err := bob.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: true})
	if err != nil || got.State != wire.ApprovalDone {
		t.Fatalf("%+v %v", got, err)
	}
	var done wire.ActivateAnswer
	r.must(json.Unmarshal(got.Result, &done))
	if op := opOf(t, ctx, c, done.Seq); done.Generation != number || done.Position != d.Position ||
		op.Actor != "bob" || op.Reason != "reviewed" || op.OpID != "x" {
		t.Errorf("%+v %+v", done, op)
	}
	again, err := alice.Approve(ctx, wire.ApprovalRequest{Approve: "x", Run: true})
	var same wire.ActivateAnswer
	if err == nil {
		err = json.Unmarshal(again.Result, &same)
	}
	if err != nil || same.Seq != done.Seq {
		t.Errorf("a second time: %+v %v", same, err)
	}

	_, err = alice.ApplyPolicy(ctx, policy, wire.ApplyRequest{Op: wire.Op{OpID: "y"}})
	if !isCode(err, wire.CodeApprovalNeeded) {
		t.Errorf("one person applies a policy: %v", err)
	}
	if a, err := bob.Approve(ctx, wire.ApprovalRequest{Approve: "y"}); err != nil ||
		a.State != wire.ApprovalApproved || len(a.Result) != 0 {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := alice.Approve(ctx, wire.ApprovalRequest{Approve: "y", Run: true}); err != nil ||
		!strings.Contains(string(a.Result), policy) {
		t.Errorf("%+v %v", a, err)
	}
	if page, err := bob.Approvals(ctx); err != nil || len(page.Items) != 0 {
		t.Errorf("%+v %v", page, err)
	}
	if page, err := bob.ApprovalsAll(ctx); err != nil || len(page.Items) != 2 ||
		page.Items[0].State != wire.ApprovalDone || page.Items[1].State != wire.ApprovalDone {
		t.Errorf("%+v %v", page, err)
	}
}

// operationBodies are requests for every operation that is answered with something else than a refusal of its form.
func operationBodies(policy, key, digest string) map[string]string {
	return map[string]string{
		"/v1/policies":                               `{"document":"kernel: 1\n","op_id":"%s"}`,
		"/v1/policies/{policy_id}/apply":             `{"op_id":"%s"}`,
		"/v1/keys":                                   `{"op_id":"%s"}`,
		"/v1/keys/{key_id}/revoke":                   `{"op_id":"%s"}`,
		"/v1/keys/{key_id}/retire":                   `{"op_id":"%s"}`,
		"/v1/keys/{key_id}/retire-secret":            `{"op_id":"%s"}`,
		"/v1/freezes":                                `{"scope":"all","reason":"r","op_id":"%s"}`,
		"/v1/thaw":                                   `{"scope":"all","reason":"r","op_id":"%s"}`,
		"/v1/known-shards":                           `{"patterns":["a"],"op_id":"%s"}`,
		"/v1/generations":                            `{"policy":"` + policy + `","op_id":"%s"}`,
		"/v1/generations/{generation}/activate":      `{"diff":"` + digest + `","op_id":"%s"}`,
		"/v1/generations/rollback":                   `{"op_id":"%s"}`,
		"/v1/generations/{generation}":               ``,
		"/v1/approvals":                              `{"approve":"nothing","op_id":"%s"}`,
		"/v1/tokens":                                 `{"op_id":"%s"}`,
		"/v1/tokens/{token_id}/revoke":               `{"op_id":"%s"}`,
		"/v1/cluster/members":                        `{"node_id":"n9","peer_address":"127.0.0.1:1","reason":"r","op_id":"%s"}`,
		"/v1/cluster/members/{node_id}/promote":      `{"reason":"r","op_id":"%s"}`,
		"/v1/cluster/members/{node_id}/remove":       `{"reason":"r","op_id":"%s"}`,
		"/v1/cluster/members/{node_id}/address":      `{"peer_address":"127.0.0.1:1","reason":"r","op_id":"%s"}`,
		"/v1/cluster/leader":                         `{"reason":"r","op_id":"%s"}`,
		"/v1/cluster/version":                        `{"version":2,"reason":"r","op_id":"%s"}`,
		"/v1/cluster/invitations":                    `{"node_id":"n9","peer_address":"127.0.0.1:1","valid_s":60,"digest":"` + strings.Repeat("0", 64) + `","reason":"r","op_id":"%s"}`,
		"/v1/cluster/invitations/{node_id}/withdraw": `{"reason":"r","op_id":"%s"}`,
	}
}

// TestWhichOperationsNeedTwo holds the table of docs/roles.md against what a node does: with auth.two_person every
// operation of the table that says so waits for a second actor, and no other one does.
func TestWhichOperationsNeedTwo(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TwoPerson = true })
	r := newRecounter(t, c)
	aliceText, _ := newToken(t, r.ctx, c, 0, wire.RoleOperator, "alice", time.Hour)
	bobText, _ := newToken(t, r.ctx, c, 0, wire.RoleOperator, "bob", time.Hour)
	f := nodetest.NewRecords(t)
	if status, code := r.submit(f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	policy := r.publish("kernel: 1\nparams: {tol_d: \"0.10\"}\n")
	number := r.start(policy)
	d := r.diff(number)
	alice, bob := as(t, c, 0, aliceText), as(t, c, 0, bobText)
	_, err := alice.Activate(r.ctx, number, wire.ActivateRequest{Op: wire.Op{OpID: "first"}, Diff: d.Digest})
	if !isCode(err, wire.CodeApprovalNeeded) {
		t.Fatal(err)
	}
	// so that there is something to go back from
	if _, err := bob.Approve(r.ctx, wire.ApprovalRequest{Approve: "first", Run: true}); err != nil {
		t.Fatal(err)
	}
	bodies := operationBodies(policy, "hmac-0123456789abcdef", d.Digest)
	seen := 0
	for i, route := range api.Routes() {
		if !route.Operation {
			continue
		}
		body, ok := bodies[route.Path]
		if !ok {
			t.Errorf("%s %s: this test has no request for it", route.Method, route.Path)
			continue
		}
		if body != "" {
			body = fmt.Sprintf(body, fmt.Sprintf("op-%d", i))
		}
		path := strings.NewReplacer("{policy_id}", policy, "{key_id}", "hmac-0123456789abcdef", "{generation}",
			fmt.Sprint(number), "{token_id}", "nothing", "{node_id}", "n9").Replace(route.Path)
		status, answer := c.Once(0, route.Method, path, []byte(body))
		if waits := strings.Contains(string(answer), string(wire.CodeApprovalNeeded)); waits != route.Second {
			t.Errorf("%s %s: waits for a second actor: %v, the table says %v\n%d %s", route.Method, route.Path,
				waits, route.Second, status, answer)
		}
		seen++
	}
	if seen != len(bodies) {
		t.Errorf("%d operations, %d requests", seen, len(bodies))
	}
}
