package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/wire"
)

// link is the way from a follower to the leader of a test.
type link struct {
	leads  bool
	turns  bool // this node leads by the time the operation would be sent
	leader http.Handler
	fail   error
	sent   [][]byte
}

func (l *link) Leading() bool     { return l.leads }
func (l *link) LeaderURL() string { return "https://leader:1" }
func (l *link) ForwardOperation(ctx context.Context, request []byte) ([]byte, bool, error) {
	if l.turns || l.fail != nil {
		return nil, l.turns, l.fail
	}
	l.sent = append(l.sent, request)
	answer, err := ServeForwarded(ctx, l.leader, "node-2", request)
	return answer, false, err
}

// leaderOf is a leader with authentication over a fake.
func leaderOf(t *testing.T, fake *fakeLedger) http.Handler {
	t.Helper()
	h, err := NewHandler(Config{Ledger: fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), NodeID: "node-1", Leader: &link{leads: true}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestForwardedOperations: a follower has the leader do an operation, with the caller's own token, and gives its answer.
func TestForwardedOperations(t *testing.T) {
	leader := newFake()
	way := &link{leader: leaderOf(t, leader)}
	r := newTestServer(t, func(c *Config) { c.NoAuth, c.Leader, c.NodeID = false, way, "node-2" })
	responder := r.fake.give(wire.RoleResponder, "rita", time.Now().Add(time.Hour))
	leader.tokens = r.fake.tokens
	w := r.send("POST", "/v1/policies", `{"document":"kernel: 1\n","reason":"fix"}`, "Authorization", "Bearer "+responder, wire.HeaderRequestID, "mine")
	made := decode[wire.PolicyAnswer](t, w, 201)
	if w.Header().Get("Location") != "/v1/policies/"+made.ID || w.Header().Get(wire.HeaderRequestID) != "mine" || w.Header().Get(wire.HeaderNode) != "node-1" {
		t.Errorf("%v", w.Header())
	}
	if len(r.fake.operations) != 0 || len(leader.operations) != 1 || leader.operations[0].Reason != "fix" {
		t.Errorf("follower %+v, leader %+v", r.fake.operations, leader.operations)
	}
	if w := r.send("DELETE", "/v1/generations/9?reason=a%20b", "", "Authorization", "Bearer "+responder); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.send("POST", "/v1/policies?reason=yaml", "kernel: 1 # 2\n", "Content-Type", wire.MediaYAML, "Authorization", "Bearer "+responder); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.send("POST", "/v1/policies", strings.Repeat("x", 2<<20), "Authorization", "Bearer "+responder); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
	if w := r.get("/v1/policies", "Authorization", "Bearer "+responder); w.Code != 200 || len(way.sent) != 3 {
		t.Errorf("a read was forwarded: %d", len(way.sent))
	}
	// The follower believes a token that the leader knows to be revoked.
	_, id, _ := wire.ParseToken(responder)
	leader.revoked = map[string]bool{id: true}
	decode[wire.Problem](t, r.send("POST", "/v1/policies", `{"document":"kernel: 1 # 3"}`, "Authorization", "Bearer "+responder), 401)
	leader.revoked = nil
	way.fail = wire.NewProblem(wire.CodeNoLeader, "")
	decode[wire.Problem](t, r.send("POST", "/v1/policies", `{"document":"kernel: 1 # 4"}`, "Authorization", "Bearer "+responder), 503)
	way.fail, way.turns = nil, true // the body can be read once more here
	decode[wire.PolicyAnswer](t, r.send("POST", "/v1/policies", `{"document":"kernel: 1 # 5"}`, "Authorization", "Bearer "+responder), 201)
	if len(r.fake.operations) != 1 || r.fake.operations[0] != (wire.Op{}) {
		t.Errorf("%+v", r.fake.operations)
	}
}

// TestForgedOperations: what a node says of a caller is ignored; only a token counts.
func TestForgedOperations(t *testing.T) {
	leader := newFake()
	auditor := leader.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	operator := leader.give(wire.RoleOperator, "root", time.Now().Add(time.Hour))
	h := leaderOf(t, leader)
	ask := func(header http.Header, method, target string) int {
		t.Helper()
		header.Set("Content-Type", wire.MediaJSON)
		request, err := json.Marshal(forwarded{Method: method, Target: target, Remote: "10.0.0.9", RequestID: "x", Header: header, Body: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ServeForwarded(t.Context(), h, "node-2", request)
		if err != nil {
			t.Fatal(err)
		}
		var a forwardedAnswer
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatal(err)
		}
		return a.Status
	}
	const path = "/v1/generations/rollback"
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"no token": {http.Header{}, 401}, "another role": {http.Header{"Authorization": {"Bearer " + auditor}}, 403},
		"a claimed identity": {http.Header{"X-Actor": {"root"}, "X-Role": {"operator"}, "Recount-Actor": {"root"}}, 401},
		"right":              {http.Header{"Authorization": {"Bearer " + operator}}, 200},
	} {
		if got := ask(c.header, "POST", path); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if len(leader.operations) != 1 {
		t.Errorf("%d operations were done", len(leader.operations))
	}
	for _, r := range [][2]string{{"GET", "/v1/audit"}, {"GET", "/v1/tokens"}, {"POST", "/v1/pcs/submit"}, {"GET", "/metrics"}, {"GET", "/readyz"}} {
		if got := ask(http.Header{"Authorization": {"Bearer " + operator}}, r[0], r[1]); got != 404 {
			t.Errorf("%s %s of another node: %d", r[0], r[1], got)
		}
	}
	for range 200 { // in the name of one address
		ask(http.Header{"Authorization": {"Bearer " + operator[:len(operator)-1] + "x"}}, "POST", path)
	}
	if got := ask(http.Header{"Authorization": {"Bearer " + operator}}, "POST", path); got != 200 {
		t.Errorf("another node has locked an address out: %d", got)
	}
	leader.operations = leader.operations[:1]
	if _, err := ServeForwarded(t.Context(), h, "node-2", []byte("rubbish")); err == nil {
		t.Error("rubbish was served")
	}
	// A follower without authentication changes nothing about that.
	open, err := NewHandler(Config{NoAuth: true, Ledger: newFake().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Leader: &link{leader: h}})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", path, strings.NewReader("{}"))
	req.Header.Set("Content-Type", wire.MediaJSON)
	w := httptest.NewRecorder()
	open.ServeHTTP(w, req)
	if w.Code != 401 || len(leader.operations) != 1 {
		t.Errorf("%d, %d operations", w.Code, len(leader.operations))
	}
}

// TestCertificatesGoToTheLeader: a caller who is known by a certificate only is told where to go, and may read everywhere.
func TestCertificatesGoToTheLeader(t *testing.T) {
	way := &link{leader: leaderOf(t, newFake())}
	s := newSecure(t, func(c *Config) { c.Leader = way })
	pair := s.pair(s.ca, certs.Request{CommonName: "c", URIs: roleURI(testCluster, wire.RoleResponder, "rita"), Client: true})
	client := s.client(&pair)
	if status, code := s.ask(RouteRoles{Method: "POST", Path: "/v1/generations/rollback"}, credential{client: client}); status != 421 || code != wire.CodeMisdirected {
		t.Errorf("%d %s", status, code)
	}
	if status, code := s.ask(RouteRoles{Method: "GET", Path: "/v1/audit"}, credential{client: client}); status != 200 {
		t.Errorf("%d %s", status, code)
	}
	way.leads = true
	if status, code := s.ask(RouteRoles{Method: "POST", Path: "/v1/generations/rollback"}, credential{client: client}); status != 200 || len(way.sent) != 0 {
		t.Errorf("%d %s", status, code)
	}
}
