package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

func TestMediaTypes(t *testing.T) {
	r := newTestServer(t, nil)
	for i, c := range []struct {
		header, value string
		want          int
	}{
		{"Content-Type", "application/json; charset=utf-8", 200},
		{"Content-Type", "Application/JSON;charset=UTF-8", 200},
		{"Content-Type", "application/json; charset=latin1", 415},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/jsonx", 415},
		{"Content-Type", ";;", 415},
		{"Content-Type", "", 415},
		{"Content-Encoding", "gzip", 415},
		{"Content-Encoding", "identity", 200},
		{"Authorization", "Bearer whatever", 200},
	} {
		if w := r.post(record("s", i, nil), c.header, c.value); w.Code != c.want {
			t.Errorf("%s %q: %d, want %d", c.header, c.value, w.Code, c.want)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.MaxBody = 2000 })
	body := record("s", 1, nil)
	fits := body + strings.Repeat(" ", 2000-len(body))
	decode[wire.SubmitAnswer](t, r.post(fits), 200)
	p := decode[wire.Problem](t, r.post(fits+" "), 413)
	if p.ReasonCode != "too_large" || !strings.Contains(p.Detail, "2000") {
		t.Errorf("%+v", p)
	}
	for _, c := range []struct {
		body string
		want int
	}{{fits, 200}, {fits + " ", 413}, {"", 400}} {
		req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", io.MultiReader(strings.NewReader(c.body)))
		req.Header.Set("Content-Type", wire.MediaJSON)
		req.ContentLength = -1
		if w := r.do(req); w.Code != c.want {
			t.Errorf("chunked, %d bytes: %d", len(c.body), w.Code)
		}
	}
	req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", strings.NewReader("{}"))
	req.Header.Set("Content-Type", wire.MediaJSON)
	req.ContentLength = 10
	if w := r.do(req); w.Code != 400 {
		t.Errorf("cut body: %d", w.Code)
	}
}

func TestThrottle(t *testing.T) {
	for _, status := range []int{429, 503} {
		r := newTestServer(t, func(c *Config) { c.AddressRate, c.ThrottleStatus = 0.01, status })
		decode[wire.SubmitAnswer](t, r.post(record("s", 1, nil)), 200)
		w := r.post(record("s", 2, nil))
		p := decode[wire.Problem](t, w, status)
		after, err := strconv.Atoi(w.Header().Get(wire.HeaderRetryAfter))
		if p.Code != wire.CodeThrottled || err != nil || after < 1 || after > 100 || len(r.fake.rows) != 1 {
			t.Errorf("%+v, Retry-After %d", p, after)
		}
		if w := r.get("/v1/audit"); w.Code != 200 {
			t.Errorf("reads are throttled: %d", w.Code)
		}
	}
}

// unread fails the test when anybody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (u unread) Close() error { return nil }

func TestAddressIsThrottledUnread(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.AddressRate = 0.001 })
	post := func(remote string, body io.ReadCloser) int {
		req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", body)
		req.Header.Set("Content-Type", wire.MediaJSON)
		req.RemoteAddr, req.ContentLength = remote, 5<<20
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		return w.Code
	}
	empty := func() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }
	for _, first := range []string{"192.0.2.9:1", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1"} {
		if code := post(first, empty()); code != 413 {
			t.Errorf("%s: %d", first, code)
		}
	}
	for _, again := range []string{"192.0.2.9:2", "[::ffff:192.0.2.9]:2", "[2001:db8:0:1:ffff::]:2", "[2001:db8:0:2::1]:1"} {
		if code := post(again, unread{t}); code != 429 {
			t.Errorf("%s: %d", again, code)
		}
	}
	if page := r.get("/metrics").Body.String(); !strings.Contains(page, `flk_throttled_total{limit="address"} 4`) {
		t.Error(page)
	}
}

func TestBurstIsTwiceTheRate(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.AddressRate = 5 })
	taken, began := 0, time.Now()
	for i := range 30 {
		if r.post(record("s", i, nil)).Code == 200 {
			taken++
		}
	}
	// A busy machine may take seconds for this, and 5 more tokens come with each.
	if most := 10 + int(5*time.Since(began).Seconds()) + 1; taken < 10 || taken > most {
		t.Errorf("%d of 30 taken, at most %d may be", taken, most)
	}
}

func TestFaultsOfTheLedger(t *testing.T) {
	damaged := errors.New("block 7")
	r := newTestServer(t, func(c *Config) {
		c.Explain = func(err error) *wire.Problem {
			if errors.Is(err, damaged) {
				return wire.NewProblem(wire.CodeNotReady, "ask another node").WithRetry(time.Second)
			}
			return nil
		}
	})
	body := record("s", 1, nil)
	for _, c := range []struct {
		fail error
		want int
		code wire.Code
	}{
		{errFake, 500, wire.CodeInternal},
		{fmt.Errorf("deep: %w", context.DeadlineExceeded), 504, wire.CodeOutcomeUnknown},
		{context.Canceled, 504, wire.CodeOutcomeUnknown},
		{fmt.Errorf("deep: %w", damaged), 504, wire.CodeOutcomeUnknown},
		{fmt.Errorf("deep: %w", wire.NewProblem(wire.CodeNoLeader, "").WithRetry(time.Second)), 503, wire.CodeNoLeader},
	} {
		r.fake.fail = c.fail
		if p := decode[wire.Problem](t, r.post(body), c.want); p.Code != c.code || strings.Contains(p.Detail, "fake") {
			t.Errorf("%v: %+v", c.fail, p)
		}
	}
	r.fake.fail = errFake
	decode[wire.Problem](t, r.get("/v1/audit"), 500)
	r.fake.fail = fmt.Errorf("deep: %w", damaged)
	if p := decode[wire.Problem](t, r.get("/v1/audit"), 503); p.Detail != "ask another node" || p.RetryAfterMS != 1000 {
		t.Errorf("%+v", p)
	}
	r.fake.fail, r.fake.explode = nil, true
	decode[wire.Problem](t, r.post(body), 500)
	r.fake.explode = false
	decode[wire.SubmitAnswer](t, r.post(body), 200)
}

func TestDeadlines(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.SubmitTimeout, c.ReadWait = time.Millisecond, time.Millisecond })
	r.fake.hold = make(chan struct{})
	w := r.post(record("s", 1, nil))
	if p := decode[wire.Problem](t, w, 504); p.Code != wire.CodeOutcomeUnknown || w.Header().Get(wire.HeaderRetryAfter) != "1" {
		t.Errorf("%+v", p)
	}
	if p := decode[wire.Problem](t, r.get("/v1/audit?min_seq=5"), 503); p.Code != wire.CodeBehind {
		t.Errorf("%+v", p)
	}
}

func TestMinSeqWaits(t *testing.T) {
	r := newTestServer(t, nil)
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- r.get("/v1/events/1?min_seq=1") }()
	r.post(record("s", 1, nil))
	if w := <-done; w.Code != 200 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestRequestID(t *testing.T) {
	r := newTestServer(t, nil)
	for given, kept := range map[string]bool{
		"abc-1.2_Z": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "": false, "é": false, "a\"b": false,
	} {
		w := r.get("/livez", wire.HeaderRequestID, given)
		if got := w.Header().Get(wire.HeaderRequestID); (got == given) != kept || got == "" {
			t.Errorf("%q: %q", given, got)
		}
	}
	r.post(record("s", 1, nil), wire.HeaderRequestID, "mine", "X-Forwarded-For", "203.0.113.9")
	if m := r.fake.metas[0]; m != (Meta{RequestID: "mine", Remote: "192.0.2.1"}) {
		t.Errorf("%+v", m)
	}
}

func TestTrustedProxy(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")} })
	r.post(record("s", 1, nil), "X-Forwarded-For", "198.51.100.1, 203.0.113.9")
	if m := r.fake.metas[0]; m.Remote != "203.0.113.9" {
		t.Errorf("%+v", m)
	}
}

func TestReadiness(t *testing.T) {
	r := newTestServer(t, nil)
	r.fake.ready = []Check{{"log", nil}, {"leader", errors.New("none known")}}
	if w := r.get("/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "leader: none known") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.get("/readyz?verbose"); w.Code != 503 || w.Body.String() != "[+]log ok\n[-]leader failed: none known\nreadyz check failed\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.get("/readyz?exclude=leader"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r.fake.ready = r.fake.ready[:1]
	if w := r.get("/readyz?verbose"); w.Code != 200 || w.Body.String() != "[+]log ok\nreadyz check passed\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.get("/health"); w.Code != 200 || w.Body.String() != "OK" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := func() Config {
		return Config{Ledger: newFake().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	}
	for name, change := range map[string]func(*Config){
		"ledger":  func(c *Config) { c.Ledger = Ledger{} },
		"part":    func(c *Config) { c.Ledger.Status = nil },
		"status":  func(c *Config) { c.ThrottleStatus = 418 },
		"rate":    func(c *Config) { c.AddressRate = -1 },
		"timeout": func(c *Config) { c.SubmitTimeout = time.Minute },
		"body":    func(c *Config) { c.MaxBody = -1 },
	} {
		cfg := good()
		change(&cfg)
		if _, err := NewServer(cfg); !errors.Is(err, errConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := good()
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS10}
	srv, err := NewServer(cfg)
	if err != nil || srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Fatalf("%+v, %v", srv, err)
	}
	if srv.TLSConfig.MinVersion != tls.VersionTLS12 || srv.TLSConfig.NextProtos[0] != "h2" || cfg.TLS.MinVersion != tls.VersionTLS10 {
		t.Errorf("%+v", srv.TLSConfig)
	}
	if _, err := NewServer(cfg); err == nil {
		t.Error("two handlers share a registry")
	}
}

// TestBodiesAreBounded: bodies that are being read take no more than their bound together, and give it back.
func TestBodiesAreBounded(t *testing.T) {
	const size = 4 << 20
	r := newTestServer(t, func(c *Config) { c.MaxBody = size })
	var wg sync.WaitGroup
	var open []*io.PipeWriter
	for i := range maxBodies / size {
		in, out := io.Pipe()
		open = append(open, out)
		req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", in)
		req.ContentLength = -1
		req.Header.Set("Content-Type", wire.MediaJSON)
		wg.Go(func() { r.handler.ServeHTTP(httptest.NewRecorder(), req) })
		if _, err := out.Write(make([]byte, size-i*1024)); err != nil { // returns when all of it was read
			t.Fatal(err)
		}
	}
	body := record("s", 1, nil)
	decode[wire.SubmitAnswer](t, r.post(body), 200)
	p := decode[wire.Problem](t, r.post(body+strings.Repeat(" ", size-len(body))), 503)
	if p.Code != wire.CodeOverloaded {
		t.Errorf("%+v", p)
	}
	for _, out := range open {
		_ = out.CloseWithError(io.ErrUnexpectedEOF)
	}
	wg.Wait()
	decode[wire.SubmitAnswer](t, r.post(body+strings.Repeat(" ", size-len(body))), 200)
}

// TestMetricsGuesses: guesses at the password of the metrics listener are slowed down, and the right password counts all the same.
func TestMetricsGuesses(t *testing.T) {
	server, err := NewMetricsServer(Config{Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), MetricsUser: "prom", MetricsPass: "right", AuthFailures: 5})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(address, pass string) int {
		req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		req.RemoteAddr = address + ":1"
		if pass != "" {
			req.SetBasicAuth("prom", pass)
		}
		w := httptest.NewRecorder()
		server.Handler.ServeHTTP(w, req)
		return w.Code
	}
	for i := range 50 {
		if got := ask("10.0.0.1", ""); got != 401 {
			t.Fatalf("without credentials, %d times: %d", i, got)
		}
	}
	got := map[int]int{}
	for range 50 {
		got[ask("10.0.0.1", "wrong")]++
	}
	if got[401] < 5 || got[401] > 7 || got[401]+got[429] != 50 {
		t.Errorf("%v", got)
	}
	if a, b := ask("10.0.0.1", "right"), ask("10.0.0.2", "right"); a != 200 || b != 200 {
		t.Errorf("the right password beside the guesses %d, from another address %d", a, b)
	}
	if got := ask("10.0.0.1", "wrong"); got != 429 {
		t.Errorf("a guess after the right password: %d", got)
	}
}
