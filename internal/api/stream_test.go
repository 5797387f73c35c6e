package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/recount-ledger/recount/wire"
)

func TestAuditStream(t *testing.T) {
	r := newTestServer(t, nil)
	if w := r.get("/v1/audit", "Accept", wire.MediaNDJSON); w.Body.String() != `{"trailer":true,"count":0,"next_cursor":"","applied_seq":0,"generation":1}`+"\n" {
		t.Error(w.Body)
	}
	const n = 3*streamChunk + 7
	for i := range n {
		r.fake.add(nil, fakeRecord{ShardID: "s", Epoch: int64(i)}, wire.SubmitAnswer{Outcome: wire.OutcomeAccepted, PCSID: hexOf(i), Policy: hexOf()}, 200)
	}
	read := func(target string) (seqs []uint64, trailer wire.Trailer) {
		w := r.get(target, "Accept", "text/html;q=0.1, application/x-ndjson")
		if w.Code != 200 || w.Header().Get("Content-Type") != wire.MediaNDJSON {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		lines := bufio.NewScanner(w.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), `{"trailer"`) {
				if err := json.Unmarshal(lines.Bytes(), &trailer); err != nil {
					t.Fatal(err)
				}
				continue
			}
			var item wire.AuditItem
			if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, item.Seq)
		}
		return seqs, trailer
	}
	seqs, trailer := read("/v1/audit?limit=100000")
	if len(seqs) != n || trailer.Count != n || trailer.NextCursor != "" || seqs[n-1] != n {
		t.Errorf("%d items, %+v", len(seqs), trailer)
	}
	seqs, trailer = read("/v1/audit?limit=600")
	rest, last := read("/v1/audit?limit=5000&cursor=" + trailer.NextCursor)
	if len(seqs) != 600 || rest[0] != 601 || len(rest) != n-600 || last.NextCursor != "" {
		t.Errorf("%d then %d, %+v", len(seqs), len(rest), last)
	}
}

// vanishing opens views that lose their generation after the first stretch.
type vanishing struct{ Views }

func (v vanishing) View(ctx context.Context, r Read) (View, error) {
	view, err := v.Views.View(ctx, r)
	return vanishingView{view}, err
}

type vanishingView struct{ View }

func (v vanishingView) Audit(ctx context.Context, q AuditQuery) (AuditResult, error) {
	if q.FromSeq > 1 {
		return AuditResult{}, ErrGenerationGone
	}
	return v.View.Audit(ctx, q)
}

func TestCutStreamHasNoTrailer(t *testing.T) {
	fake := newFake()
	for i := range streamChunk + 1 {
		fake.add(nil, fakeRecord{ShardID: "s"}, wire.SubmitAnswer{Outcome: wire.OutcomeAccepted, PCSID: hexOf(i), Policy: hexOf()}, 200)
	}
	ledger := fake.ledger()
	ledger.Views = vanishing{fake}
	h, err := NewHandler(Config{NoAuth: true, Ledger: ledger, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "/v1/audit?limit=10000", nil)
	req.Header.Set("Accept", wire.MediaNDJSON)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if got := strings.Count(w.Body.String(), "\n"); got != streamChunk || strings.Contains(w.Body.String(), "trailer") {
		t.Errorf("%d lines", got)
	}
}

func TestMetrics(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.WALErrors = func() uint64 { return 3 } })
	r.post(record("s", 1, nil))
	r.post(record("s", 1, nil))
	r.post(record("s", 2, degraded))
	r.post(record("s", 1, func(m map[string]any) { m["D_hat"] = 0 }))
	r.post(record("s", 3, func(m map[string]any) { m["sig"] = "bad" }))
	r.post("{")
	r.get("/v1/shards/s")
	r.get("/nowhere/else")
	r.do(httptest.NewRequest("BREW", "/v1/audit", nil))
	page := r.get("/metrics").Body.String()
	for _, line := range []string{
		"flk_ingest_total 6", `flk_submissions_total{outcome="accepted"} 1`, `flk_submissions_total{outcome="replayed"} 1`,
		`flk_submissions_total{outcome="escalated"} 1`, `flk_submissions_total{outcome="conflict"} 1`, `flk_submissions_total{outcome="refused"} 2`,
		`flk_submissions_total{outcome="error"} 0`, "flk_signature_errors_total 1", "flk_dedup_hits_total 1", "flk_submit_duration_seconds_count 6",
		"flk_dedup_hits 1", "flk_accepted 1", "flk_escalated 1", "flk_signature_errors 1", "flk_wal_errors 3", "# TYPE flk_accepted untyped",
		`flk_http_requests_total{class="2xx",method="GET",route="/v1/shards/:shard_id"} 1`,
		`flk_http_requests_total{class="4xx",method="GET",route="unmatched"} 1`,
		`flk_http_requests_total{class="4xx",method="other",route="/v1/audit"} 1`,
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if problems, err := promlint.New(strings.NewReader(page)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if t.Failed() {
		t.Log(page)
	}
	open := r.get("/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if got := open.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") || open.Body.String() == "" {
		t.Errorf("%s: the aliases and client_golang's own names are no clean OpenMetrics, so only the text format is served", got)
	}
}

func TestMetricsPassword(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.MetricsUser, c.MetricsPass = "prom", "s3cret" })
	for pair, want := range map[[2]string]int{{"prom", "s3cret"}: 200, {"prom", "s3cre"}: 401, {"pro", "s3cret"}: 401, {"", ""}: 401} {
		req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		req.SetBasicAuth(pair[0], pair[1])
		if w := r.do(req); w.Code != want {
			t.Errorf("%v: %d", pair, w.Code)
		}
	}
	if w := r.get("/metrics"); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d", w.Code)
	}
}

// TestOverTLS goes through the real server with HTTP/1.1 and HTTP/2, HEAD and an oversized body included.
func TestOverTLS(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.EnableHTTP2 = true
	pair.StartTLS()
	defer pair.Close()
	fake := newFake()
	srv, err := NewServer(Config{NoAuth: true, Ledger: fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), TLS: pair.TLS})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(ln, "", "") }()
	base := "https://" + ln.Addr().String()
	for i, h2 := range []bool{false, true} {
		transport := pair.Client().Transport.(*http.Transport).Clone()
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(!h2)
		transport.Protocols.SetHTTP2(h2)
		transport.TLSClientConfig.NextProtos = nil
		client := &http.Client{Transport: transport}
		res, err := client.Post(base+"/v1/pcs/submit", wire.MediaJSON, strings.NewReader(record("s", i, nil)))
		exchange(t, res, err, 200, 1+i)
		res, err = client.Post(base+"/v1/pcs/submit", wire.MediaJSON, bytes.NewReader(make([]byte, 1<<20+100_000)))
		exchange(t, res, err, 413, 1+i)
		res, err = client.Head(base + "/v1/events/1")
		if body := exchange(t, res, err, 200, 1+i); body != "" {
			t.Errorf("HEAD has a body: %s", body)
		}
		transport.CloseIdleConnections()
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// TestSubmitOutlivesReadTimeout waits for an outcome beyond the server's read deadline.
func TestSubmitOutlivesReadTimeout(t *testing.T) {
	fake := newFake()
	fake.hold = make(chan struct{})
	srv, err := NewServer(Config{
		NoAuth: true, Ledger: fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), SubmitTimeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.ReadTimeout = 50 * time.Millisecond
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = srv
	ts.Start()
	defer ts.Close()
	time.AfterFunc(4*srv.ReadTimeout, func() { close(fake.hold) })
	res, err := ts.Client().Post(ts.URL+"/v1/pcs/submit", wire.MediaJSON, strings.NewReader(record("s", 1, nil)))
	exchange(t, res, err, 200, 1)
}

func exchange(t *testing.T, res *http.Response, err error, status, major int) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status || res.ProtoMajor != major {
		t.Errorf("%s %d, want HTTP/%d %d: %v %s", res.Proto, res.StatusCode, major, status, err, body)
	}
	return string(body)
}

func TestHostileParametersStayOut(t *testing.T) {
	r := newTestServer(t, nil)
	w := r.get("/v1/audit?%3Cscript%3E%0Aalert=1")
	if w.Code != 400 || strings.ContainsAny(w.Body.String(), "<\n") {
		t.Error(w.Body)
	}
	if got := fmt.Sprint(wantsNDJSON(http.Header{"Accept": {"application/json"}})); got != "false" {
		t.Error(got)
	}
}

func FuzzCursor(f *testing.F) {
	filters := digestFilters("a")
	f.Add(cursor{kind: 'a', generation: 3, filters: filters, position: []byte("12345678")}.String())
	f.Add(cursor{kind: 'a', generation: 3, filters: filters, asOf: 9, position: []byte("12345678")}.String())
	f.Add(cursor{kind: 's', generation: 3, filters: filters, position: []byte("shard")}.String())
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []byte("as") {
			if k, err := parseCursor(text, kind, filters); err == nil && k.String() != text {
				t.Errorf("%q reads as %q", text, k)
			}
		}
	})
}

// TestEventsAreStreamed: events of a range or a shard come with a trailer that says where to go on.
func TestEventsAreStreamed(t *testing.T) {
	r := newTestServer(t, nil)
	for i := range 7 {
		r.post(record(fmt.Sprint("s", i%2), i, nil))
	}
	for target, want := range map[string]string{
		"/v1/events":                      "1 2 3 4 5 6 7 end",
		"/v1/events?limit=3":              "1 2 3 next 4",
		"/v1/events?from=4&limit=3":       "4 5 6 next 7",
		"/v1/events?from=3&to=4":          "3 4 end",
		"/v1/events?shard=s1":             "2 4 6 end",
		"/v1/events?from=99":              "end",
		"/v1/events?shard=nobodys&from=2": "end",
	} {
		w := r.get(target)
		if w.Code != 200 || w.Header().Get("Content-Type") != wire.MediaNDJSON {
			t.Fatalf("%s: %d %v", target, w.Code, w.Header())
		}
		var got []string
		for line := range strings.Lines(w.Body.String()) {
			var e struct {
				Seq        uint64
				Payload    []byte
				Trailer    bool
				Count      int
				NextCursor string `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			switch {
			case !e.Trailer && len(e.Payload) > 0:
				got = append(got, fmt.Sprint(e.Seq))
			case e.Count == len(got) && e.NextCursor != "":
				got = append(got, "next", e.NextCursor)
			case e.Count == len(got):
				got = append(got, "end")
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", target, got, want)
		}
	}
	for _, target := range []string{"/v1/events?from=0", "/v1/events?from=5&to=4", "/v1/events?limit=10001", "/v1/events?shard=s*", "/v1/events?cursor=x"} {
		if w := r.get(target); w.Code != 400 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}
