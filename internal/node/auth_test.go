package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// as is a client of one node with another token.
func as(t *testing.T, c *nodetest.Cluster, i int, token string) *client.Client {
	t.Helper()
	k, err := client.New(client.Config{Endpoints: []string{c.URL(i)}, CA: c.CA.CertPEM(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// newToken makes a token at node i.
func newToken(t *testing.T, ctx context.Context, c *nodetest.Cluster, i int, role wire.Role, name string,
	life time.Duration) (text, id string) {
	t.Helper()
	text, id, err := wire.NewToken(role)
	if err != nil {
		t.Fatal(err)
	}
	r := wire.TokenRequest{
		ID:        id,
		Name:      name,
		Role:      role,
		Digest:    wire.TokenDigest(text),
		ExpiresAt: wire.Time(time.Now().Add(life)),
	}
	if _, err := c.At(i).CreateToken(ctx, r); err != nil {
		t.Fatal(err)
	}
	return text, id
}

// isStatus reports whether an error is an answer with that status.
func isStatus(err error, status int) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Status == status
}

// op has the members of an operation that name its actor.
type op struct {
	OpID                                  string `json:"op_id"`
	Actor, Role, Credential, Reason, Node string
}

func opOf(t *testing.T, ctx context.Context, c *nodetest.Cluster, seq uint64) op {
	t.Helper()
	e, err := c.Client.Event(ctx, seq, client.Read{MinSeq: seq})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e.Summary)
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Op op }
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Op
}

// TestTokens: a token made at one node counts at every node at once, acts under its name wherever it is used,
// and counts nowhere when it is revoked, also after a restart.
func TestTokens(t *testing.T) {
	c := nodetest.Start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader := c.Leader()
	follower, other := (leader+1)%3, (leader+2)%3
	text, id := newToken(t, ctx, c, follower, wire.RoleResponder, "rita", time.Hour)
	for i := range 3 {
		if _, err := as(t, c, i, text).Policies(ctx); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
	}
	p, err := as(t, c, other, text).PublishPolicy(ctx, wire.PolicyRequest{
		Document: "kernel: 1\nparams: {tol_d: \"0.10\"}\n",
		Op:       wire.Op{OpID: "p", Reason: "why"},
	})
	if err != nil || p.Actor != "rita" || p.Role != "responder" {
		t.Fatalf("%+v %v", p, err)
	}
	if got, want := opOf(t, ctx, c, p.Seq),
		(op{"p", "rita", "responder", "token:" + id, "why", fmt.Sprintf("node-%d", other+1)}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := as(t, c, other, text).CreateToken(ctx, wire.TokenRequest{ID: id}); !isStatus(err, 403) {
		t.Errorf("a responder made a token: %v", err)
	}
	auditor := as(t, c, other, c.Tokens[wire.RoleAuditor])
	if _, err := auditor.PublishPolicy(ctx, wire.PolicyRequest{Document: plainPolicy}); !isStatus(err, 403) {
		t.Errorf("an auditor published: %v", err)
	}
	page, err := auditor.Tokens(ctx)
	if err != nil || len(page.Items) != 5 || page.Items[0].ID != id ||
		page.Items[0].CreatedBy != "test-operator" || page.Items[0].LastUsed == "" || page.Items[1].Source != "file" {
		t.Errorf("%+v %v", page, err)
	}
	a, err := c.At(other).RevokeToken(ctx, id, wire.TokenRevokeRequest{Op: wire.Op{Reason: "gone"}})
	if err != nil || a.State != "revoked" || a.RevokedBy != "test-operator" {
		t.Errorf("%+v %v", a, err)
	}
	if again, err := c.At(leader).RevokeToken(ctx, id, wire.TokenRevokeRequest{}); err != nil ||
		again.RevokedSeq != a.RevokedSeq {
		t.Errorf("%+v %v", again, err)
	}
	_, metrics, _ := wire.ParseToken(c.Tokens[wire.RoleMetrics])
	if a, err := c.Client.RevokeToken(ctx, metrics, wire.TokenRevokeRequest{}); err != nil || a.Source != "file" ||
		a.State != "revoked" {
		t.Errorf("a token of the file: %+v %v", a, err)
	}
	if _, err := c.Client.RevokeToken(ctx, "aaaaaaaaaaaaaaaa",
		wire.TokenRevokeRequest{}); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an unknown token: %v", err)
	}
	c.Stop(follower)
	c.Restart(follower)
	c.AwaitReady(follower)
	for i := range 3 {
		c.Await("the revocation", func() error { // a node that has not folded it may still answer reads
			if _, err := as(t, c, i, text).Policies(ctx); !isStatus(err, 401) {
				return fmt.Errorf("node %d: %v", i+1, err)
			}
			return nil
		})
		if _, err := as(t, c, i, text).PublishPolicy(ctx, wire.PolicyRequest{
			Document: plainPolicy,
		}); !isStatus(err, 401) {
			t.Errorf("node %d: an operation with a revoked token: %v", i+1, err)
		}
	}
	sameDigests(t, c, ctx)
}

// TestTokenIsCreatedOnce: a repeated request is the same token, another one under its id or op_id is refused.
func TestTokenIsCreatedOnce(t *testing.T) {
	c := nodetest.Start(t, 1)
	ctx := t.Context()
	text, id, err := wire.NewToken(wire.RoleAuditor)
	if err != nil {
		t.Fatal(err)
	}
	r := wire.TokenRequest{
		Op:        wire.Op{OpID: "one"},
		ID:        id,
		Name:      "a",
		Role:      wire.RoleAuditor,
		Digest:    wire.TokenDigest(text),
		ExpiresAt: wire.Time(time.Now().Add(time.Hour)),
	}
	first, err := c.Client.CreateToken(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Client.CreateToken(ctx, r); err != nil || again.Seq != first.Seq {
		t.Errorf("%+v %v", again, err)
	}
	r.Name = "b"
	if _, err := c.Client.CreateToken(ctx, r); !isStatus(err, 409) {
		t.Errorf("another token under the op_id: %v", err)
	}
	r.OpID = "two"
	if _, err := c.Client.CreateToken(ctx, r); !isStatus(err, 409) {
		t.Errorf("another token under the id: %v", err)
	}
	_, inFile, _ := wire.ParseToken(c.Tokens[wire.RoleAuditor])
	if r.ID, r.OpID = inFile, "three"; true {
		if _, err := c.Client.CreateToken(ctx, r); !isStatus(err, 409) {
			t.Errorf("a token of the file: %v", err)
		}
	}
	short, _ := newToken(t, ctx, c, 0, wire.RoleAuditor, "short", 300*time.Millisecond)
	c.Await("the end of a token", func() error {
		if _, err := as(t, c, 0, short).Policies(ctx); !isStatus(err, 401) {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
}

// TestRolesOnCluster tries every route with a token of every role at every node.
func TestRolesOnCluster(t *testing.T) {
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.AuthFailures = 0 })
	ctx := t.Context()
	tried := 0
	for i := range 3 {
		for _, role := range wire.Roles() {
			k := as(t, c, i, c.Tokens[role])
			for _, r := range api.Routes() {
				if r.Path == "/v1/generations/rollback" || r.Path == "/v1/pcs/submit" || r.Path == "/readyz" {
					continue // they would wait, or say more than the role does
				}
				tried++
				resp, err := k.Do(ctx, client.Request{Method: r.Method, Path: sample(r.Path), Body: bodyOf(r.Method)})
				if err != nil {
					t.Errorf("%s %s as %s: %v", r.Method, r.Path, role, err)
					continue
				}
				may := len(r.Roles) == 0 || slices.Contains(r.Roles, role)
				if denied := resp.Status == http.StatusForbidden; resp.Status == http.StatusUnauthorized ||
					denied == may {
					t.Errorf("node %d: %s %s as %s: %d %s", i+1, r.Method, r.Path, role, resp.Status, resp.Body)
				}
			}
		}
	}
	t.Logf("%d combinations of node, role and route", tried)
}

var sample = strings.NewReplacer("{pcs_id}", strings.Repeat("a", 64), "{seq}", "1", "{shard_id}", "s",
	"{policy_id}", strings.Repeat("b", 64), "{key_id}", "unknown", "{generation}", "9", "{token_id}",
	strings.Repeat("q", 16), "{slug}", "forbidden").Replace

func bodyOf(method string) []byte {
	if method == http.MethodPost {
		return []byte("{}")
	}
	return nil
}

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
	twinText, _ := newToken(t, ctx, c, 0, wire.RoleResponder, "Alice", time.Hour)
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
		"her other token": as(t, c, 0, twinText),
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

// lateBody calls before when the server wants the body, which is after it has looked at the credentials.
type lateBody struct {
	before func()
	body   io.Reader
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.before != nil {
		b.before()
		b.before = nil
	}
	return b.body.Read(p)
}

// TestRevokedOnTheWay: an operation whose token is revoked while its body is on the way is not done.
func TestRevokedOnTheWay(t *testing.T) {
	c := nodetest.Start(t, 1)
	r := newRecounter(t, c)
	stolen, id := newToken(t, r.ctx, c, 0, wire.RoleOperator, "mallory", time.Hour)
	text, backdoor, err := wire.NewToken(wire.RoleOperator)
	r.must(err)
	body, err := json.Marshal(wire.TokenRequest{
		ID:        backdoor,
		Name:      "backdoor",
		Role:      wire.RoleOperator,
		Digest:    wire.TokenDigest(text),
		ExpiresAt: wire.Time(time.Now().Add(time.Hour)),
	})
	r.must(err)
	revoked := false
	late := &lateBody{before: func() {
		_, err := c.Client.RevokeToken(r.ctx, id, wire.TokenRevokeRequest{})
		r.must(err)
		revoked = true
	}, body: bytes.NewReader(body)}
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, c.URL(0)+"/v1/tokens", late)
	r.must(err)
	req.Header.Set("Authorization", "Bearer "+stolen)
	req.Header.Set("Content-Type", wire.MediaJSON)
	req.Header.Set("Expect", "100-continue")
	cl := c.HTTPFrom("127.0.0.1")
	cl.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	resp, err := cl.Do(req)
	r.must(err)
	defer resp.Body.Close()
	if !revoked || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("revoked %v, status %d", revoked, resp.StatusCode)
	}
	if _, err := as(t, c, 0, text).Tokens(r.ctx); !isStatus(err, 401) {
		t.Errorf("the token that was made afterwards: %v", err)
	}
}
