package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/wire"
)

// TestRouteWithoutEntry: a handler that the table does not know, or a line without a handler, keeps the server from starting.
func TestRouteWithoutEntry(t *testing.T) {
	e, err := newEcho(Config{Ledger: newTwin(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRoutes(e.Routes(), routeTable); err != nil {
		t.Fatal(err)
	}
	if err := checkRoutes(e.Routes()[1:], routeTable); err == nil {
		t.Error("a line of the table has no route")
	}
	e.GET("/debug", func(c echo.Context) error { return c.String(200, "secrets") })
	if err := checkRoutes(e.Routes(), routeTable); err == nil {
		t.Error("a route without an entry was built")
	}
}

// secure is a real TLS server over a twin, with client certificates.
type secure struct {
	t       *testing.T
	twin    *twin
	ca      *certs.CA
	url     string
	pool    *x509.CertPool
	plain   *http.Client
	mu      sync.Mutex
	refused []RefusedAct
}

const testCluster = "test-cluster"

func newSecure(t *testing.T, change func(*Config)) *secure {
	t.Helper()
	ca, err := certs.NewCA("clients")
	if err != nil {
		t.Fatal(err)
	}
	s := &secure{t: t, twin: newTwin(), ca: ca, pool: x509.NewCertPool()}
	s.pool.AppendCertsFromPEM(ca.CertPEM())
	cfg := Config{Ledger: s.twin, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), ClusterID: testCluster, AuthFailures: -1, NodeID: "node-1",
		Refused: func(r RefusedAct) { s.mu.Lock(); defer s.mu.Unlock(); s.refused = append(s.refused, r) },
		TLS: &tls.Config{Certificates: []tls.Certificate{s.pair(ca, certs.Request{CommonName: "n", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true})},
			ClientCAs: s.pool, ClientAuth: tls.VerifyClientCertIfGiven}}
	if change != nil {
		change(&cfg)
	}
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	s.url = "https://" + ln.Addr().String()
	s.plain = s.client(nil)
	return s
}

func (s *secure) pair(ca *certs.CA, r certs.Request) tls.Certificate {
	s.t.Helper()
	cert, key, err := ca.Issue(r)
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return pair
}

// client shows a certificate whether the server's authorities include its own or not.
func (s *secure) client(pair *tls.Certificate) *http.Client {
	cfg := &tls.Config{RootCAs: s.pool}
	if pair != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: cfg}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// roleURI is the name in a client certificate.
func roleURI(cluster string, role wire.Role, name string) []string {
	return []string{"recount://" + cluster + "/role/" + string(role) + "/" + name}
}

// credential is one way to ask: headers and a client. good says whether it proves the role.
type credential struct {
	name    string
	headers []string // values of Authorization
	client  *http.Client
	good    bool
}

// sum puts the right checksum behind a forged token.
func sum(body string) string { return fmt.Sprintf("%s_%08x", body, crc32.ChecksumIEEE([]byte(body))) }

// credentialsOf is everything that a caller can show who claims a role.
func (s *secure) credentialsOf(role wire.Role) []credential {
	soon := time.Now().Add(time.Hour)
	right := s.twin.give(role, "right-"+string(role), soon)
	revoked := s.twin.give(role, "revoked", soon)
	_, id, _ := wire.ParseToken(revoked)
	if s.twin.revoked == nil {
		s.twin.revoked = map[string]bool{}
	}
	s.twin.revoked[id] = true
	expired := s.twin.give(role, "expired", time.Now().Add(-time.Second))
	unknown, _, _ := wire.NewToken(role)
	parts := strings.Split(right, "_")
	otherSecret := sum(strings.Join([]string{parts[0], parts[1], parts[2], strings.Repeat("a", 52)}, "_"))
	low := s.twin.give(wire.RoleMetrics, "low", soon) // the text claims more than was given
	lowParts := strings.Split(low, "_")
	claims := sum(strings.Join([]string{lowParts[0], "operator", lowParts[2], lowParts[3]}, "_"))
	other, err := certs.NewCA("clients")
	if err != nil {
		s.t.Fatal(err)
	}
	cert := func(ca *certs.CA, cluster string, role wire.Role, validity time.Duration) *http.Client {
		p := s.pair(ca, certs.Request{CommonName: "c", URIs: roleURI(cluster, role, "cert-"+string(role)), Client: true, Validity: validity})
		return s.client(&p)
	}
	lost := s.pair(s.ca, certs.Request{CommonName: "c", URIs: roleURI(testCluster, role, "lost"), Client: true})
	s.twin.revoked["cert:"+lost.Leaf.SerialNumber.Text(16)] = true
	double := s.pair(s.ca, certs.Request{CommonName: "c", URIs: append(roleURI(testCluster, role, "a"), roleURI(testCluster, "operator", "b")...), Client: true})
	peer := s.pair(s.ca, certs.Request{CommonName: "c", URIs: []string{"recount://" + testCluster + "/node/node-1"}, Client: true, Server: true})
	good := cert(s.ca, testCluster, role, 0)
	return []credential{
		{"right token", []string{"Bearer " + right}, s.plain, true},
		{"right token, other case", []string{"bearer  " + right}, s.plain, true},
		{"malformed token", []string{"Bearer " + right[:len(right)-1] + "x"}, s.plain, false},
		{"cut token", []string{"Bearer " + right[:40]}, s.plain, false},
		{"empty token", []string{"Bearer "}, s.plain, false},
		{"right token twice", []string{"Bearer " + right, "Bearer " + right}, s.plain, false},
		{"right token as Basic", []string{"Basic " + right}, s.plain, false},
		{"expired token", []string{"Bearer " + expired}, s.plain, false},
		{"revoked token", []string{"Bearer " + revoked}, s.plain, false},
		{"unknown token", []string{"Bearer " + unknown}, s.plain, false},
		{"other secret", []string{"Bearer " + otherSecret}, s.plain, false},
		{"claims another role", []string{"Bearer " + claims}, s.plain, false},
		{"right certificate", nil, good, true},
		{"right certificate, bad token", []string{"Bearer " + unknown}, good, false},
		{"certificate of another authority", nil, cert(other, testCluster, role, 0), false},
		{"certificate of another cluster", nil, cert(s.ca, "another", role, 0), false},
		{"expired certificate", nil, cert(s.ca, testCluster, role, -time.Minute), false},
		{"revoked certificate", nil, s.client(&lost), false},
		{"certificate with two roles", nil, s.client(&double), false},
		{"certificate of a node", nil, s.client(&peer), false},
		{"certificate of no role", nil, cert(s.ca, testCluster, "root", 0), false},
	}
}

var samplePath = strings.NewReplacer("{pcs_id}", strings.Repeat("a", 64), "{seq}", "1", "{shard_id}", "s", "{policy_id}", strings.Repeat("b", 64),
	"{key_id}", "unknown", "{generation}", "9", "{token_id}", strings.Repeat("q", 16), "{slug}", "forbidden")

// TestRolesTable tries every route with every credential of every role, over TLS, and fails when one is let through that the
// table does not allow, or kept out that it does.
func TestRolesTable(t *testing.T) {
	s := newSecure(t, nil)
	tried, through := 0, 0
	try := func(r RouteRoles, role wire.Role, c credential) {
		tried++
		status, code := s.ask(r, c)
		open := len(r.Roles) == 0
		handshake := status == 0 // the TLS layer has refused the certificate
		switch {
		case open && !handshake && (code == wire.CodeUnauthorized || code == wire.CodeForbidden):
			t.Errorf("%s %s, %s: %d %s, but everybody may", r.Method, r.Path, c.name, status, code)
		case !open && !c.good && !handshake && (status != http.StatusUnauthorized || code != wire.CodeUnauthorized):
			t.Errorf("%s %s, %s of %s: %d %s, want 401", r.Method, r.Path, c.name, role, status, code)
		case !open && c.good && !slices.Contains(r.Roles, role) && (status != http.StatusForbidden || code != wire.CodeForbidden):
			t.Errorf("%s %s, %s of %s: %d %s, want 403", r.Method, r.Path, c.name, role, status, code)
		case !open && c.good && slices.Contains(r.Roles, role):
			through++
			if handshake || status == http.StatusUnauthorized || status == http.StatusForbidden {
				t.Errorf("%s %s, %s of %s: %d %s, but it may", r.Method, r.Path, c.name, role, status, code)
			}
		}
	}
	for _, role := range wire.Roles() {
		creds := s.credentialsOf(role)
		for _, r := range Routes() {
			for _, c := range creds {
				try(r, role, c)
			}
		}
	}
	for _, r := range Routes() {
		try(r, "", credential{"nothing", nil, s.plain, false})
	}
	t.Logf("%d routes, %d roles: %d combinations tried, %d of them may", len(Routes()), len(wire.Roles()), tried, through)
	if tried < 2000 || through < 100 {
		t.Errorf("only %d tried, %d may", tried, through)
	}
}

// ask gives status and problem code; status 0 is a refused handshake.
func (s *secure) ask(r RouteRoles, c credential) (int, wire.Code) {
	s.t.Helper()
	body := io.Reader(nil)
	if r.Method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	req, err := http.NewRequest(r.Method, s.url+samplePath.Replace(r.Path), body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", wire.MediaJSON)
	}
	req.Header["Authorization"] = c.headers
	resp, err := c.client.Do(req)
	if err != nil {
		if !strings.Contains(err.Error(), "tls:") {
			s.t.Errorf("%s: %v", c.name, err)
		}
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	var p wire.Problem
	if resp.StatusCode >= 400 && json.Unmarshal(text, &p) != nil {
		s.t.Errorf("%s %s: %d %s", r.Method, r.Path, resp.StatusCode, text)
	}
	if challenge := resp.Header.Get("WWW-Authenticate"); (p.Code == wire.CodeUnauthorized) != strings.HasPrefix(challenge, "Bearer") && p.Code != wire.CodeForbidden {
		s.t.Errorf("%s %s: %d with challenge %q", r.Method, r.Path, resp.StatusCode, challenge)
	}
	return resp.StatusCode, p.Code
}

// TestNoOracle: answers to credentials that do not count are the same to the byte, but for the request id.
func TestNoOracle(t *testing.T) {
	s := newSecure(t, nil)
	seen := map[string]string{}
	for _, c := range s.credentialsOf(wire.RoleOperator) {
		if c.good || c.headers == nil {
			continue
		}
		req, _ := http.NewRequest("GET", s.url+"/v1/audit", nil)
		req.Header["Authorization"] = c.headers
		req.Header.Set(wire.HeaderRequestID, "same")
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		seen[fmt.Sprint(resp.StatusCode, resp.Header.Get("WWW-Authenticate"), string(text))] = c.name
	}
	if len(seen) != 1 {
		t.Errorf("%d different answers: %v", len(seen), seen)
	}
}

// TestRefusalsAreReported: counted, and told to the audit stream with who it was.
func TestRefusalsAreReported(t *testing.T) {
	s := newSecure(t, nil)
	token := s.twin.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
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
	metrics := s.page(credential{headers: []string{"Bearer " + s.twin.give(wire.RoleMetrics, "prom", time.Now().Add(time.Hour))}, client: s.plain}, "/metrics")
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
	twin := newTwin()
	token := twin.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	h, err := NewHandler(Config{Ledger: twin, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), AuthFailures: 5})
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
	if w := get("192.0.2.7:2", "Bearer "+token); w.Code != 429 || w.Header().Get("Retry-After") != "12" {
		t.Errorf("%d %v", w.Code, w.Header())
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
	if n := len(f.failing); n > maxFailing {
		t.Errorf("%d addresses kept", n)
	}
}

// TestNewToken: a token that another node has just created counts at once, also here.
func TestTokenOfAnotherNode(t *testing.T) {
	s := newSecure(t, nil)
	token := s.twin.give(wire.RoleAuditor, "alice", time.Now().Add(time.Hour))
	s.twin.tokens, s.twin.late = nil, s.twin.tokens
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
	id, err := certificateIdentity(state, testCluster, now)
	if err != nil || id != (Identity{Actor: "bob", Role: wire.RoleResponder, Credential: "cert:" + pair.Leaf.SerialNumber.Text(16)}) {
		t.Errorf("%+v %v", id, err)
	}
	for name, at := range map[string]time.Time{"after": now.Add(2 * time.Minute), "before": now.Add(-2 * time.Hour)} {
		if _, err := certificateIdentity(state, testCluster, at); err != errBadCredentials {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certificateIdentity(state, "", now); err != errBadCredentials {
		t.Errorf("no cluster id: %v", err)
	}
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf}}
	if _, err := certificateIdentity(unverified, testCluster, now); err != errNoCredentials {
		t.Errorf("unverified: %v", err)
	}
	for _, uri := range []string{"recount://test-cluster/role/operator/a/b", "recount://test-cluster/role/operator/", "recount://test-cluster/role/operator/a%2Fb",
		"recount://test-cluster/role/operator/a?x=1", "recount://u@test-cluster/role/operator/a", "recount://test-cluster/role/submitter/a"} {
		bad := s.pair(s.ca, certs.Request{CommonName: "c", URIs: []string{uri}, Client: true})
		if _, err := certificateIdentity(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{bad.Leaf}}}, testCluster, now); err != errBadCredentials {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestTokenRoutes goes through the contract: create, list with its last use, revoke.
func TestTokenRoutes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.NoAuth, c.AuthFailures = false, -1 })
	root := "Bearer " + r.twin.give(wire.RoleOperator, "root", time.Now().Add(time.Hour))
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
	if m := r.twin.actors[0]; m.Actor != "root" || m.Role != wire.RoleOperator || !strings.HasPrefix(m.Credential, "token:") {
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
	token := s.twin.give(wire.RoleMetrics, "m", time.Now().Add(time.Hour))
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

// TestContractNamesLeastRole compares the security of every operation in the contract with the table.
func TestContractNamesLeastRole(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Routes() {
		op := doc.Paths.Find(r.Path).GetOperation(r.Method)
		want := "[]"
		if len(r.Roles) > 0 {
			want = fmt.Sprintf("[map[bearer:[%s]] map[clientCertificate:[%s]]]", r.Roles[0], r.Roles[0])
		}
		if r.Basic {
			want = strings.TrimSuffix(want, "]") + " map[basic:[]]]"
		}
		if op.Security == nil || fmt.Sprint(*op.Security) != want {
			t.Errorf("%s %s: security %v, want %s", r.Method, r.Path, op.Security, want)
		}
	}
}

// TestApprovalRoutes goes through the contract.
func TestApprovalRoutes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.NoAuth = false })
	bob := "Bearer " + r.twin.give(wire.RoleResponder, "bob", time.Now().Add(time.Hour))
	r.twin.waiting = []wire.ApprovalAnswer{{OpID: "x", Act: "activate", Request: "activate generation 2", Actors: []string{"alice"}, AskedAt: "2026-03-01T00:00:00Z", ExpiresAt: "2026-03-01T01:00:00Z", Seq: 9}}
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
