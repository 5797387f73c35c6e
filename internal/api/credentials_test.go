package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
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

// TestRefusalsAreReported: counted, and told to the audit stream with who it was.
func TestRefusalsAreReported(t *testing.T) {
	s := newSecure(t, nil)
	token := s.fake.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	revoke := RouteRoles{Method: "POST", Path: "/v1/keys/{key_id}/revoke"}
	s.ask(revoke, credential{headers: []string{"Bearer " + token}, client: s.plain})
	s.ask(revoke, credential{headers: nil, client: s.plain})
	s.ask(revoke, credential{headers: []string{"Bearer x"}, client: s.plain})
	if len(s.refused) != 3 {
		t.Fatalf("%+v", s.refused)
	}
	_, id, _ := wire.ParseToken(token)
	first := s.refused[0]
	if first.Status != 403 || first.Reason != refusedForbidden || first.Actor != "alice" || first.Role != wire.RoleAuditor || first.Credential != "token:"+id ||
		first.Method != "POST" || first.Route != "/v1/keys/:key_id/revoke" || first.RequestID == "" || first.Remote != "127.0.0.1" || first.At.IsZero() {
		t.Errorf("%+v", first)
	}
	if s.refused[1].Reason != refusedNone || s.refused[2].Reason != refusedInvalid || s.refused[2].Actor != "" {
		t.Errorf("%+v", s.refused)
	}
	metrics := s.page(credential{headers: []string{"Bearer " + s.fake.give(wire.RoleMetrics, "prom", time.Now().Add(time.Hour))}, client: s.plain}, "/metrics")
	for _, want := range []string{`flk_auth_refused_total{reason="forbidden"} 1`, `{reason="none"} 1`, `{reason="invalid"} 1`, `{reason="limited"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

func (s *secure) page(c credential, path string) string {
	s.t.Helper()
	req, _ := http.NewRequest("GET", s.url+path, nil)
	req.Header["Authorization"] = c.headers
	resp, err := c.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// TestGuessingIsSlow: after so many failures an address is not looked at, not even with a token that counts; others are.
func TestGuessingIsSlow(t *testing.T) {
	fake := newFake()
	token := fake.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	h, err := NewHandler(Config{Ledger: fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), AuthFailures: 5})
	if err != nil {
		t.Fatal(err)
	}
	get := func(remote, authorization string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", "/v1/audit", nil)
		req.RemoteAddr = remote
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	for range 20 { // no credentials are no guess
		if w := get("192.0.2.7:1", ""); w.Code != 401 {
			t.Fatal(w.Code)
		}
	}
	for i := range 5 {
		if w := get("192.0.2.7:1", "Bearer guess"); w.Code != 401 {
			t.Fatalf("guess %d: %d", i, w.Code)
		}
	}
	for range 3 { // a neighbour's guesses lock nobody out
		if w := get("192.0.2.7:2", "Bearer guess"); w.Code != 429 || w.Header().Get("Retry-After") != "12" {
			t.Errorf("one guess too many: %d %v", w.Code, w.Header())
		}
		if w := get("192.0.2.7:2", "Bearer "+token); w.Code != 200 {
			t.Errorf("the right token beside the guesses: %d", w.Code)
		}
	}
	if w := get("192.0.2.8:1", "Bearer "+token); w.Code != 200 {
		t.Errorf("another address: %d", w.Code)
	}
	f := newFailures(5)
	for i := range 5 {
		f.failed(fmt.Sprintf("2001:db8:1:2::%d", i))
	}
	if !f.over("2001:db8:1:2:ffff::1") || f.over("2001:db8:1:3::1") {
		t.Error("an IPv6 network of /64 is one guesser")
	}
	for i := range 3 * maxFailing {
		f.failed(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if !f.over("2001:db8:1:2:ffff::1") {
		t.Error("a crowd of other addresses made this node forget one that had too many failures")
	}
	if none := newFailures(0); none.failed("192.0.2.7") || none.over("192.0.2.7") {
		t.Error("no limit refuses")
	}
}

// TestNewToken: a token that another node has just created counts at once, also here.
func TestTokenOfAnotherNode(t *testing.T) {
	s := newSecure(t, nil)
	token := s.fake.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	s.fake.tokens, s.fake.late = nil, s.fake.tokens
	if status, code := s.ask(RouteRoles{Method: "GET", Path: "/v1/audit"}, credential{headers: []string{"Bearer " + token}, client: s.plain}); status != 200 {
		t.Errorf("%d %s", status, code)
	}
}

// TestCertificateValidityIsChecked: a connection may live longer than the certificate that opened it.
func TestCertificateValidityIsChecked(t *testing.T) {
	s := newSecure(t, nil)
	pair := s.pair(s.ca, certs.Request{CommonName: "c", URIs: roleURI(testCluster, wire.RoleResponder, "bob"), Client: true, Validity: time.Minute})
	authority := s.pair(s.ca, certs.Request{CommonName: "x", Client: true}).Leaf
	state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{pair.Leaf, authority}}}
	now := time.Now()
	id, err := certificateIdentity(state, testCluster, now, nil)
	if err != nil || id != (Identity{Actor: "bob", Role: wire.RoleResponder, Credential: "cert:" + pair.Leaf.SerialNumber.Text(16)}) {
		t.Errorf("%+v %v", id, err)
	}
	for name, at := range map[string]time.Time{"after": now.Add(2 * time.Minute), "before": now.Add(-2 * time.Hour)} {
		if _, err := certificateIdentity(state, testCluster, at, nil); err != errBadCredentials {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certificateIdentity(state, "", now, nil); err != errBadCredentials {
		t.Errorf("no cluster id: %v", err)
	}
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf}}
	if _, err := certificateIdentity(unverified, testCluster, now, nil); err != errNoCredentials {
		t.Errorf("unverified: %v", err)
	}
	for _, uri := range []string{"recount://test-cluster/role/operator/a/b", "recount://test-cluster/role/operator/", "recount://test-cluster/role/operator/a%2Fb",
		"recount://test-cluster/role/operator/a?x=1", "recount://u@test-cluster/role/operator/a", "recount://test-cluster/role/submitter/a"} {
		bad := s.pair(s.ca, certs.Request{CommonName: "c", URIs: []string{uri}, Client: true})
		if _, err := certificateIdentity(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{bad.Leaf}}}, testCluster, now, nil); err != errBadCredentials {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestTokenRoutes goes through the contract: create, list with its last use, revoke.
func TestTokenRoutes(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.NoAuth = false })
	root := "Bearer " + r.fake.give(wire.RoleOperator, "root", time.Now().Add(time.Hour))
	text, id, err := wire.NewToken(wire.RoleAuditor)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{"id": id, "name": "alice", "role": "auditor", "digest": wire.TokenDigest(text), "expires_at": wire.Time(time.Now().Add(time.Hour))}
	for field, bad := range map[string][]any{"id": {"short", "", "ABCDEFGHIJ234567"}, "name": {"", "a b", strings.Repeat("x", 65)}, "role": {"root", "submitter", ""},
		"digest": {"", "00", strings.ToUpper(wire.TokenDigest(text)), hex.EncodeToString([]byte("x"))}, "expires_at": {"", "soon", "2020-01-01T00:00:00Z", wire.Time(time.Now().Add(367 * 24 * time.Hour))}} {
		for _, v := range bad {
			m := map[string]any{}
			for k := range good {
				m[k] = good[k]
			}
			m[field] = v
			body, _ := json.Marshal(m)
			if p := decode[wire.Problem](t, r.send("POST", "/v1/tokens", string(body), "Authorization", root), 400); p.Field != field {
				t.Errorf("%s %v: %+v", field, v, p)
			}
		}
	}
	body, _ := json.Marshal(good)
	if a := decode[wire.TokenAnswer](t, r.send("POST", "/v1/tokens", string(body), "Authorization", root), 201); a.ID != id || a.Name != "alice" {
		t.Errorf("%+v", a)
	}
	if m := r.fake.actors[0]; m.Actor != "root" || m.Role != wire.RoleOperator || !strings.HasPrefix(m.Credential, "token:") {
		t.Errorf("the actor is %+v", m)
	}
	if page := decode[wire.TokensPage](t, r.get("/v1/tokens", "Authorization", "Bearer "+text), 200); len(page.Items) != 2 || page.Node != "node-1" || page.Items[1].LastUsed == "" || strings.Contains(fmt.Sprint(page), text) {
		t.Errorf("%+v", page)
	}
	for target, status := range map[string]int{id: 200, "cert:0a": 400, "cert:" + strings.Repeat("f", 41): 400, "cert:": 400, "nonsense": 400, "cert:12ab": 200, strings.Repeat("z", 16): 404} {
		if w := r.send("POST", "/v1/tokens/"+target+"/revoke", "{}", "Authorization", root); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
	decode[wire.Problem](t, r.get("/v1/tokens", "Authorization", "Bearer "+text), 401)
}

// TestMetricsCredentials: a token of any role, or the user and password when they are set; not one for the other.
func TestMetricsCredentials(t *testing.T) {
	s := newSecure(t, func(c *Config) { c.MetricsUser, c.MetricsPass = "prom", "pw" })
	token := s.fake.give(wire.RoleMetrics, "m", time.Now().Add(time.Hour))
	for _, c := range []struct {
		path, authorization string
		status              int
	}{
		{"/metrics", "Basic cHJvbTpwdw==", 200}, {"/metrics", "Basic cHJvbTp4", 401}, {"/metrics", "", 401}, {"/metrics", "Bearer " + token, 200},
		{"/metrics", "Bearer nonsense", 401}, {"/v1/audit", "Basic cHJvbTpwdw==", 401}, {"/v1/audit", "Bearer " + token, 403},
	} {
		req, _ := http.NewRequest("GET", s.url+c.path, nil)
		if c.authorization != "" {
			req.Header.Set("Authorization", c.authorization)
		}
		resp, err := s.plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status || c.status == 401 && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %q: %d, want %d", c.path, c.authorization, resp.StatusCode, c.status)
		}
	}
}

// TestApprovalRoutes goes through the contract.
func TestApprovalRoutes(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.NoAuth = false })
	bob := "Bearer " + r.fake.give(wire.RoleResponder, "bob", time.Now().Add(time.Hour))
	r.fake.waiting = []wire.ApprovalAnswer{{OpID: "x", Name: "activate", Request: "activate generation 2", State: wire.ApprovalAsked, Actors: []string{"alice"}, AskedAt: "2026-03-01T00:00:00Z", ExpiresAt: "2026-03-01T01:00:00Z", Seq: 9}}
	if a := decode[wire.ApprovalAnswer](t, r.send("POST", "/v1/approvals", `{"approve":"x","reason":"reviewed"}`, "Authorization", bob), 200); fmt.Sprint(a.Actors) != "[alice bob]" {
		t.Errorf("%+v", a)
	}
	if page := decode[wire.ApprovalsPage](t, r.get("/v1/approvals", "Authorization", bob), 200); len(page.Items) != 1 {
		t.Errorf("%+v", page)
	}
	for body, status := range map[string]int{`{}`: 400, `{"approve":"y"}`: 404, `{"approve":"` + strings.Repeat("x", 65) + `"}`: 400, `{"approve":"x","op_id":"\u0007"}`: 400} {
		if w := r.send("POST", "/v1/approvals", body, "Authorization", bob); w.Code != status {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
}
