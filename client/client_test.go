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
		wire.CodeReplaced: ErrCursorGone, wire.CodeInternal: ErrOutcomeUnknown,
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
