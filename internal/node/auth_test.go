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
	strings.Repeat("q", 16), "{slug}", "forbidden",
	"/v1/audit/stream", "/v1/audit/stream?from_seq=none").Replace // a stream that is allowed has no end

func bodyOf(method string) []byte {
	if method == http.MethodPost {
		return []byte("{}")
	}
	return nil
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
