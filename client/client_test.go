package client

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// server starts a TLS node with a handler and returns it with its CA.
func server(t *testing.T, h http.HandlerFunc) (*httptest.Server, []byte) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func fast(ca []byte, urls ...string) Config {
	return Config{Endpoints: urls, CA: ca, MinBackoff: time.Microsecond, MaxBackoff: time.Millisecond}
}

func connect(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func reply(w http.ResponseWriter, status int, v any) {
	if p, ok := v.(*wire.Problem); ok {
		w.Header().Set("Content-Type", wire.MediaProblem)
		status = p.Status
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client sees it
}

var accepted = wire.SubmitAnswer{Accepted: true, Outcome: wire.OutcomeAccepted, ReasonCode: wire.ReasonOK, Seq: 7}

func TestSubmitRepeatsTheSameBytes(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeThrottled, wire.CodeNoLeader, wire.CodeOutcomeUnknown} {
		var calls atomic.Int32
		s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if string(body) != `{"a":1}` || r.Header.Get("Content-Type") != wire.MediaJSON || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("%s %v", body, r.Header)
			}
			if calls.Add(1) < 4 {
				reply(w, 0, wire.NewProblem(code, ""))
				return
			}
			reply(w, 200, accepted)
		})
		cfg := fast(ca, s.URL+"/")
		cfg.Token = "secret"
		got, err := connect(t, cfg).Submit(deadline(t, 20*time.Second), []byte(`{"a":1}`))
		if err != nil || got.Status != 200 || got.Seq != 7 || got.Attempts != 4 || got.Endpoint != s.URL {
			t.Errorf("%s: %+v %v", code, got, err)
		}
	}
}

func TestFinalProblemsAreNotRepeated(t *testing.T) {
	for code, want := range map[wire.Code]error{
		wire.CodeMalformed: ErrRejected, wire.CodeBadSignature: ErrRejected, wire.CodeKeyNotAllowed: ErrRejected,
		wire.CodeConflict: ErrRejected, wire.CodeTooLarge: ErrRejected, wire.CodeNotFound: ErrNotFound,
		wire.CodeCursorGone: ErrCursorGone, wire.CodeInternal: ErrOutcomeUnknown,
	} {
		var calls atomic.Int32
		s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			p := wire.NewProblem(code, "because").WithField("D_hat")
			p.RequestID = "req-1"
			reply(w, 0, p)
		})
		_, err := connect(t, fast(ca, s.URL)).Submit(deadline(t, 20*time.Second), []byte("{}"))
		var p *wire.Problem
		if !errors.Is(err, want) || !errors.As(err, &p) || p.Code != code || p.Field != "D_hat" || calls.Load() != 1 {
			t.Errorf("%s: %v after %d calls", code, err, calls.Load())
		}
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, header := range map[string]string{
		"seconds": "30", "date": time.Now().Add(time.Minute).UTC().Format(http.TimeFormat),
	} {
		var calls atomic.Int32
		s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set(wire.HeaderRetryAfter, header)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		began := time.Now()
		_, err := connect(t, fast(ca, s.URL)).Submit(deadline(t, 20*time.Second), []byte("{}"))
		var e *Error
		if !errors.Is(err, ErrUnavailable) || !errors.As(err, &e) || e.RetryAfter() < 20*time.Second || calls.Load() != 1 {
			t.Errorf("%s: %v after %d calls", name, err, calls.Load())
		}
		if time.Since(began) > 15*time.Second {
			t.Errorf("%s: waited though the deadline comes first", name)
		}
	}
}

func TestRetryAfterOfOneNodeDoesNotHoldTheOther(t *testing.T) {
	var busy, free atomic.Int32
	s1, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		busy.Add(1)
		reply(w, 0, wire.NewProblem(wire.CodeThrottled, "").WithRetry(time.Hour))
	})
	s2, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		free.Add(1)
		reply(w, 200, accepted)
	})
	c := connect(t, fast(ca, s1.URL, s2.URL))
	for range 10 {
		if _, err := c.Submit(deadline(t, 20*time.Second), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if busy.Load() != 1 || free.Load() != 10 {
		t.Errorf("%d to the busy node, %d to the free one", busy.Load(), free.Load())
	}
}

// TestFrozenRecordsDoNotHoldOthers: a freeze is about a shard or a key; the node answers everything else.
func TestFrozenRecordsDoNotHoldOthers(t *testing.T) {
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) == "frozen" {
			reply(w, 0, wire.NewProblem(wire.CodeFrozen, "").WithRetry(30*time.Second))
			return
		}
		reply(w, 200, accepted)
	})
	c := connect(t, fast(ca, s.URL))
	var failure *Error
	if _, err := c.Submit(deadline(t, 20*time.Second), []byte("frozen")); !errors.As(err, &failure) || failure.Status != 503 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := c.Submit(deadline(t, 10*time.Second), []byte("other")); err != nil {
		t.Errorf("another record: %v", err)
	}
}

func TestFailoverAndBalance(t *testing.T) {
	hits := make([]atomic.Int32, 3)
	var urls []string
	var servers []*httptest.Server
	var ca []byte
	for i := range hits {
		s, pem := server(t, func(w http.ResponseWriter, _ *http.Request) {
			hits[i].Add(1)
			reply(w, 200, accepted)
		})
		urls, ca, servers = append(urls, s.URL), append(ca, pem...), append(servers, s)
	}
	c := connect(t, fast(ca, urls...))
	submit := func(c *Client, n int) {
		for range n {
			if _, err := c.Submit(deadline(t, 20*time.Second), []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	submit(c, 9)
	for i := range hits {
		if n := hits[i].Swap(0); n != 3 {
			t.Errorf("node %d got %d of 9", i, n)
		}
	}
	submit(c.At(1), 4)
	if hits[1].Swap(0) != 4 {
		t.Error("At(1) asked another node")
	}
	servers[0].Close()
	submit(c, 9)
	if hits[1].Swap(0)+hits[2].Swap(0) != 9 {
		t.Error("records lost with a node away")
	}
	cfg := fast(ca, urls[1], urls[2])
	cfg.Balance = Failover
	submit(connect(t, cfg), 5)
	if hits[1].Load() != 5 {
		t.Errorf("failover went to the second node: %d", hits[1].Load())
	}
}

func TestNothingListens(t *testing.T) {
	s, ca := server(t, func(http.ResponseWriter, *http.Request) {})
	s.Close()
	_, err := connect(t, fast(ca, s.URL)).Submit(deadline(t, time.Second), []byte("{}"))
	var e *Error
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) || !errors.As(err, &e) || e.Attempts < 2 {
		t.Errorf("%v", err)
	}
}

func TestNoAnswerIsUnknown(t *testing.T) {
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	})
	c := connect(t, fast(ca, s.URL))
	_, err := c.Submit(deadline(t, time.Second), []byte("{}"))
	if !errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrUnavailable) {
		t.Errorf("submission: %v", err)
	}
	if _, err = c.Event(deadline(t, time.Second), 1, Read{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
}

// TestProxyWithoutNode: what a proxy says about a node that it lost is no answer; the submission may have reached the node.
func TestProxyWithoutNode(t *testing.T) {
	var calls atomic.Int32
	lost := int32(3)
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if calls.Add(1) <= lost {
			http.Error(w, "<html>Bad Gateway</html>", http.StatusBadGateway)
			return
		}
		reply(w, 200, accepted)
	})
	c := connect(t, fast(ca, s.URL))
	if got, err := c.Submit(deadline(t, 20*time.Second), []byte("{}")); err != nil || got.Seq != 7 || got.Attempts != 4 {
		t.Errorf("%+v %v", got, err)
	}
	lost = math.MaxInt32
	if _, err := c.Submit(deadline(t, time.Second), []byte("{}")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("submission: %v", err)
	}
	if _, err := c.Event(deadline(t, time.Second), 1, Read{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
}

func TestUnknownStaysUnknownAfterUnavailable(t *testing.T) {
	var calls atomic.Int32
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			reply(w, 0, wire.NewProblem(wire.CodeOutcomeUnknown, ""))
			return
		}
		reply(w, 0, wire.NewProblem(wire.CodeNoLeader, ""))
	})
	_, err := connect(t, fast(ca, s.URL)).Submit(deadline(t, time.Second), []byte("{}"))
	if !errors.Is(err, ErrOutcomeUnknown) || calls.Load() < 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestAttemptTimeoutTriesAgain(t *testing.T) {
	var calls atomic.Int32
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if calls.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		reply(w, 200, accepted)
	})
	cfg := fast(ca, s.URL)
	cfg.AttemptTimeout = 300 * time.Millisecond
	if r, err := connect(t, cfg).Submit(deadline(t, 20*time.Second), []byte("{}")); err != nil || r.Attempts < 2 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestUntrustedCertificateIsNotRepeated(t *testing.T) {
	s, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	_, err := connect(t, fast(nil, s.URL)).Submit(deadline(t, 20*time.Second), []byte("{}"))
	var e *Error
	if !errors.Is(err, ErrUntrusted) || !errors.As(err, &e) || e.Attempts != 1 {
		t.Errorf("%v", err)
	}
}

func TestOtherAnswers(t *testing.T) {
	status := 200
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>")
	})
	c := connect(t, fast(ca, s.URL))
	if _, err := c.Cluster(deadline(t, 20*time.Second)); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
	status = 404
	_, err := c.Get(deadline(t, 20*time.Second), "ab/c", Read{})
	var p *wire.Problem
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &p) || p.Status != 404 || p.Text == "" {
		t.Errorf("%v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, cfg := range map[string]Config{
		"none":   {},
		"scheme": {Endpoints: []string{"ftp://x"}},
		"bare":   {Endpoints: []string{"127.0.0.1:9440"}},
		"query":  {Endpoints: []string{"https://x?y=1"}},
		"user":   {Endpoints: []string{"https://u:p@x"}},
		"token":  {Endpoints: []string{"http://ledger.example:80"}, Token: "t"},
		"ca":     {Endpoints: []string{"https://x"}, CA: []byte("nonsense")},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{Endpoints: []string{"http://127.0.0.1:80"}, Token: "t"}); err != nil {
		t.Error(err)
	}
}

func TestHTTPVersion(t *testing.T) {
	for _, two := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reply(w, 200, wire.VersionAnswer{Version: r.Proto})
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		cfg := fast(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), s.URL)
		cfg.HTTP2 = two
		v, err := connect(t, cfg).Version(deadline(t, 20*time.Second))
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[two]; err != nil || v.Version != want {
			t.Errorf("%v: %+v %v", two, v, err)
		}
	}
}

// ledger is a fake audit list that grows.
type ledger struct {
	rows  atomic.Uint64
	looks atomic.Int32
	t     *testing.T
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	rows := l.rows.Load()
	switch r.URL.Path {
	case "/v1/digest":
		reply(w, 200, wire.DigestAnswer{Seq: rows})
	case "/v1/audit":
		l.looks.Add(1)
		reply(w, 200, auditPage(l.t, q, rows))
	case "/v1/shards":
		page := wire.ShardsPage{Items: []wire.ShardAnswer{{ShardID: "a"}}, NextCursor: "b", AppliedSeq: 5}
		if q.Get("cursor") == "b" {
			page = wire.ShardsPage{Items: []wire.ShardAnswer{{ShardID: "b"}}, AppliedSeq: 5}
			if q.Get("min_seq") != "5" {
				l.t.Errorf("second page may come from a node that is behind: %v", q)
			}
		}
		reply(w, 200, page)
	default:
		reply(w, 0, wire.NewProblem(wire.CodeNotFound, ""))
	}
}

// auditPage answers like a node, with at most three rows in one page.
func auditPage(t *testing.T, q url.Values, rows uint64) wire.AuditPage {
	number := func(name string, otherwise uint64) uint64 {
		n, err := strconv.ParseUint(q.Get(name), 10, 64)
		if err != nil {
			return otherwise
		}
		return n
	}
	from := max(number("from_seq", 1), 1)
	if c := q.Get("cursor"); c != "" {
		from = number("cursor", 0)
		if q.Get("min_seq") == "" {
			t.Errorf("cursor without min_seq: %v", q)
		}
	}
	page := wire.AuditPage{Items: []wire.AuditItem{}, AppliedSeq: rows}
	for seq := from; seq <= rows; seq++ {
		if len(page.Items) == int(min(number("limit", 3), 3)) {
			page.NextCursor = strconv.FormatUint(seq, 10)
			break
		}
		page.Items = append(page.Items, wire.AuditItem{Seq: seq, ShardID: q.Get("shard")})
	}
	return page
}

func TestAuditWalksAllPages(t *testing.T) {
	l := &ledger{t: t}
	l.rows.Store(10)
	s, ca := server(t, l.ServeHTTP)
	c := connect(t, fast(ca, s.URL))
	for _, x := range []struct {
		q     AuditQuery
		first uint64
		n     int
	}{{AuditQuery{Shard: "s"}, 1, 10}, {AuditQuery{Shard: "s", Limit: 4}, 1, 4}, {AuditQuery{Shard: "s", FromSeq: 9, Since: time.Unix(1, 0)}, 9, 2}} {
		var seqs []uint64
		for item, err := range c.Audit(deadline(t, 20*time.Second), x.q) {
			if err != nil || item.ShardID != "s" {
				t.Fatal(item, err)
			}
			seqs = append(seqs, item.Seq)
		}
		if len(seqs) != x.n || seqs[0] != x.first || seqs[len(seqs)-1] != x.first+uint64(x.n)-1 {
			t.Errorf("%+v: %v", x, seqs)
		}
	}
	var shards string
	for item, err := range c.Shards(deadline(t, 20*time.Second), Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		shards += item.ShardID
	}
	if shards != "ab" {
		t.Error(shards)
	}
}

func TestAuditEndsWithItsError(t *testing.T) {
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 0, wire.NewProblem(wire.CodeCursorGone, "")) })
	n := 0
	for _, err := range connect(t, fast(ca, s.URL)).Audit(deadline(t, 20*time.Second), AuditQuery{}) {
		if n++; !errors.Is(err, ErrCursorGone) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d steps", n)
	}
}

// TestPageTimeout: the bound is one of each page. A list may take longer, and a page that hangs ends it.
func TestPageTimeout(t *testing.T) {
	const limit = 1500 * time.Millisecond
	served := 0
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		if served++; served > 4 {
			<-r.Context().Done()
			return
		}
		select { // slow, but within the bound
		case <-time.After(limit / 3):
		case <-r.Context().Done():
		}
		page := wire.AuditPage{Items: []wire.AuditItem{{Seq: uint64(served)}}, AppliedSeq: uint64(served)}
		page.NextCursor = "more"
		reply(w, http.StatusOK, page)
	})
	c := connect(t, fast(ca, s.URL))
	began := time.Now()
	var pages int
	var last error
	for page, err := range c.AuditPages(deadline(t, 20*time.Second), AuditQuery{PageTimeout: limit}) {
		if last = err; err == nil {
			pages++
			if page.AppliedSeq != uint64(pages) {
				t.Errorf("page %d: %+v", pages, page)
			}
		}
	}
	if took := time.Since(began); pages != 4 || !errors.Is(last, context.DeadlineExceeded) || took < limit {
		t.Errorf("%d pages in %v: %v", pages, took, last)
	}
}

func TestTailFollowsWithoutABusyLoop(t *testing.T) {
	l := &ledger{t: t}
	l.rows.Store(5)
	s, ca := server(t, l.ServeHTTP)
	c := connect(t, fast(ca, s.URL))
	ctx, cancel := context.WithCancel(deadline(t, 30*time.Second))
	next := uint64(6) // from the head
	go func() {
		for ctx.Err() == nil && l.looks.Load() < 3 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
		l.rows.Store(13)
	}()
	for item, err := range c.Tail(ctx, AuditQuery{}, TailConfig{MinWait: 5 * time.Millisecond, MaxWait: 10 * time.Millisecond}) {
		if next == 14 {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("end: %v", err)
			}
			next++
			continue
		}
		if err != nil || item.Seq != next {
			t.Fatalf("%d, want %d: %v", item.Seq, next, err)
		}
		if next++; next == 14 {
			cancel()
		}
	}
	cancel()
	if next != 15 {
		t.Errorf("ended at %d", next)
	}
	looks := l.looks.Load()
	if looks > 100 {
		t.Errorf("%d looks", looks)
	}
	n := 0
	for _, err := range c.Tail(deadline(t, 20*time.Second), AuditQuery{FromSeq: 1, Limit: 7}, TailConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 7 {
		t.Errorf("limit 7 gave %d", n)
	}
}
