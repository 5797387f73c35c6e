package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/wire"
)

// TestRouteWithoutEntry: a handler that the table does not know, or a line without a handler, keeps the server from starting.
func TestRouteWithoutEntry(t *testing.T) {
	e, err := newEcho(Config{Ledger: newFake().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, nil)
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

// secure is a real TLS server over a fake, with client certificates.
type secure struct {
	t       *testing.T
	fake    *fakeLedger
	ca      *certs.CA
	url     string
	pool    *x509.CertPool
	plain   *http.Client
	mu      sync.Mutex
	refused []RefusedOperation
}

const testCluster = "test-cluster"

func newSecure(t *testing.T, change func(*Config)) *secure {
	t.Helper()
	ca, err := certs.NewCA("clients")
	if err != nil {
		t.Fatal(err)
	}
	s := &secure{t: t, fake: newFake(), ca: ca, pool: x509.NewCertPool()}
	s.pool.AppendCertsFromPEM(ca.CertPEM())
	cfg := Config{Ledger: s.fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), ClusterID: testCluster, NodeID: "node-1",
		Refused: func(r RefusedOperation) { s.mu.Lock(); defer s.mu.Unlock(); s.refused = append(s.refused, r) },
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
	right := s.fake.give(role, "right-"+string(role), soon)
	revoked := s.fake.give(role, "revoked", soon)
	_, id, _ := wire.ParseToken(revoked)
	if s.fake.revoked == nil {
		s.fake.revoked = map[string]bool{}
	}
	s.fake.revoked[id] = true
	expired := s.fake.give(role, "expired", time.Now().Add(-time.Second))
	unknown, _, _ := wire.NewToken(role)
	parts := strings.Split(right, "_")
	otherSecret := sum(strings.Join([]string{parts[0], parts[1], parts[2], strings.Repeat("a", 52)}, "_"))
	low := s.fake.give(wire.RoleMetrics, "low", soon) // the text claims more than was given
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
	s.fake.revoked["cert:"+lost.Leaf.SerialNumber.Text(16)] = true
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
	"{key_id}", "unknown", "{generation}", "9", "{token_id}", strings.Repeat("q", 16), "{slug}", "forbidden", "{copy_id}", "unknown", "{name}", "end")

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
		// In TLS 1.3 a client sends its request before it reads that its certificate is refused. It meets the alert, or a
		// connection that is closed or reset.
		if c.good || c.headers != nil || !(strings.Contains(err.Error(), "tls:") || closedByPeer(err)) {
			s.t.Errorf("%s: %v", c.name, err)
		}
		return 0, ""
	}
	defer resp.Body.Close()
	var text []byte
	if resp.Header.Get("Content-Type") != wire.MediaEvents { // such a stream has no end
		if text, err = io.ReadAll(resp.Body); err != nil {
			s.t.Error(err)
		}
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

func closedByPeer(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
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
