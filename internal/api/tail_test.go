package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

// tailing is a server with real connections over a fake.
type tailing struct {
	t       *testing.T
	fake    *fakeLedger
	server  *http.Server
	url     string
	metrics *prometheus.Registry
}

func newTailing(t *testing.T, change func(*Config), listener net.Listener) *tailing {
	t.Helper()
	r := &tailing{t: t, fake: newFake(), metrics: prometheus.NewRegistry()}
	cfg := Config{NoAuth: true, Ledger: r.fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: r.metrics}
	change(&cfg)
	var err error
	if r.server, err = NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	if listener == nil {
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = r.server.Serve(listener) }()
	t.Cleanup(func() { r.server.Close() })
	r.url = "http://" + listener.Addr().String() + "/v1/audit/stream"
	return r
}

// add folds n submissions of a shard.
func (r *tailing) add(n int, shard string) {
	for range n {
		r.fake.mu.Lock()
		seq := len(r.fake.rows) + 1
		r.fake.add(nil, fakeRecord{ShardID: shard, Epoch: int64(seq)},
			wire.SubmitAnswer{Outcome: wire.OutcomeAccepted, ShardID: shard, PCSID: hexOf(seq), Policy: hexOf()}, 200)
		r.fake.mu.Unlock()
	}
}

// count is the number of streams that have ended so. A node counts a stream after its last byte, so count waits for one.
func (r *tailing) count(end string) (n float64) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); n == 0 && time.Now().Before(deadline); <-tick.C {
		families, err := r.metrics.Gather()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "flk_live_tails_ended_total" && m.GetLabel()[0].GetValue() == end {
					n = m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// sse is an open stream.
type sse struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
}

// open opens a stream. headers are pairs.
func (r *tailing) open(query string, headers ...string) *sse {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	s := &sse{t: r.t, resp: resp, lines: bufio.NewScanner(resp.Body)}
	s.lines.Buffer(nil, 1<<20)
	return s
}

// next returns the fields of the next event, with comments under "". It is nil at the end of the stream.
func (s *sse) next() map[string]string {
	fields := map[string]string{}
	for s.lines.Scan() {
		if s.lines.Text() == "" {
			return fields
		}
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		fields[name] = value
	}
	return nil
}

// seqs reads n submissions and checks that ids and rows agree.
func (s *sse) seqs(n int) (out []uint64) {
	s.t.Helper()
	for len(out) < n {
		e := s.next()
		if e == nil {
			s.t.Fatalf("the stream ended after %v: %v", out, s.lines.Err())
		}
		if e["event"] != wire.StreamSubmission {
			continue
		}
		var item wire.AuditItem
		if err := json.Unmarshal([]byte(e["data"]), &item); err != nil || e["id"] != fmt.Sprint(item.Seq) {
			s.t.Fatalf("%v: %v", e, err)
		}
		out = append(out, item.Seq)
	}
	return out
}

// ended reads the stream to its end, which must be said.
func (s *sse) ended() wire.StreamEnded {
	s.t.Helper()
	for e := s.next(); e != nil; e = s.next() {
		if e["event"] != wire.StreamEnd {
			continue
		}
		var end wire.StreamEnded
		if err := json.Unmarshal([]byte(e["data"]), &end); err != nil || s.next() != nil {
			s.t.Errorf("%v: %v, or more after the end", e, err)
		}
		return end
	}
	s.t.Fatalf("no end: %v", s.lines.Err())
	return wire.StreamEnded{}
}

// TestLiveTail: a stream begins with what comes, at a place, or behind the last event that a reader has, and sends
// what passes its filters, in order and once. Without news it says how far it is.
func TestLiveTail(t *testing.T) {
	r := newTailing(t, func(c *Config) { c.TailEvery = 20 * time.Millisecond }, nil)
	r.add(3, "a")
	now, all, behind := r.open(""), r.open("?from_seq=2"), r.open("?from_seq=1&shard=b", wire.HeaderLastEventID, "2")
	if first := now.next(); first["id"] != "3" || first["retry"] != "1000" || first["data"] != "" {
		t.Errorf("%v", first)
	}
	if got := now.resp.Header; got.Get("Content-Type") != wire.MediaEvents || got.Get("X-Accel-Buffering") != "no" ||
		got.Get(wire.HeaderAppliedSeq) != "3" {
		t.Errorf("%v", got)
	}
	if got := all.seqs(2); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("%v", got)
	}
	r.add(2*streamChunk, "a")
	r.add(2, "b")
	want := uint64(4)
	for _, s := range []*sse{now, all} {
		for i, seq := range s.seqs(2*streamChunk + 2) {
			if seq != want+uint64(i) {
				t.Fatalf("%d, want %d", seq, want+uint64(i))
			}
		}
	}
	end := want + 2*streamChunk + 1
	if got := behind.seqs(2); !slices.Equal(got, []uint64{end - 1, end}) {
		t.Errorf("%v", got)
	}
	r.add(1, "a") // nothing for the one that reads shard b, but it learns how far it is
	for e := behind.next(); e["id"] != fmt.Sprint(end+1); e = behind.next() {
		if e == nil || e["data"] != "" {
			t.Fatalf("%v", e)
		}
	}
	if e := behind.next(); e["id"] != fmt.Sprint(end+1) || e[""] != "nothing new" {
		t.Errorf("%v", e)
	}
}

// TestLiveTailRefuses: what is wrong in a request is refused before the stream begins, and so is a place that the
// ledger does not have yet.
func TestLiveTailRefuses(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.ReadWait = time.Millisecond })
	for query, field := range map[string]string{"?limit=1": "limit", "?since=2026-01-01T00:00:00Z": "since",
		"?from_seq=0": "from_seq", "?shard=*": "shard", "?outcome=fine": "outcome", "?cursor=x": "cursor"} {
		if p := decode[wire.Problem](t, r.get("/v1/audit/stream"+query), 400); p.Field != field {
			t.Errorf("%s: %+v", query, p)
		}
	}
	for _, id := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		p := decode[wire.Problem](t, r.get("/v1/audit/stream", wire.HeaderLastEventID, id), 400)
		if p.Field != wire.HeaderLastEventID {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if p := decode[wire.Problem](t, r.get("/v1/audit/stream", wire.HeaderLastEventID, "7"), 503); p.Code != wire.CodeBehind {
		t.Errorf("%+v", p)
	}
	r.fake.fail = wire.NewProblem(wire.CodeNotReady, "this node is quarantined")
	if p := decode[wire.Problem](t, r.get("/v1/audit/stream"), 503); p.Code != wire.CodeNotReady {
		t.Errorf("%+v", p)
	}
	for _, target := range []string{"/v1/audit/stream", "/v1/generations/1/progress"} { // once, HEAD waited for the end
		h := newTestServer(t, nil)
		h.fake.generations = []wire.GenerationAnswer{{Generation: 1, State: wire.GenerationBuilding}}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequest(http.MethodHead, target, nil))
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != wire.MediaEvents {
			t.Errorf("HEAD %s: %d %v", target, w.Code, w.Header())
		}
	}
}

// TestLiveTailsAreBounded: a node has so many streams and refuses another one, until one of them ends.
func TestLiveTailsAreBounded(t *testing.T) {
	r := newTailing(t, func(c *Config) { c.Tails = 2 }, nil)
	one, two := r.open(""), r.open("")
	one.next()
	two.next()
	three := r.open("")
	var p wire.Problem
	if err := json.NewDecoder(three.resp.Body).Decode(&p); err != nil || p.Code != wire.CodeOverloaded ||
		three.resp.StatusCode != 503 || three.resp.Header.Get(wire.HeaderRetryAfter) != "1" || !strings.Contains(p.Detail, "2 live tails") {
		t.Errorf("%d %v %+v", three.resp.StatusCode, three.resp.Header, p)
	}
	one.resp.Body.Close()
	r.add(1, "a") // the node notices that the reader left
	for again := r.open(""); again.resp.StatusCode != 200; again = r.open("") {
		again.resp.Body.Close()
	}
	if got := r.count("reader_left"); got != 1 {
		t.Errorf("%v readers have left", got)
	}
}

// TestLiveTailEnds: every end of a stream by the node is said, with the place to go on from, and counted.
func TestLiveTailEnds(t *testing.T) {
	for reason, does := range map[string]func(r *tailing){
		wire.EndedGeneration: func(r *tailing) {
			r.fake.mu.Lock()
			r.fake.gen = 2
			r.fake.mu.Unlock()
			r.add(1, "a") // the activation; the row is one of generation 2
		},
		wire.EndedNotReady: func(r *tailing) {
			r.fake.mu.Lock()
			r.fake.fail = wire.NewProblem(wire.CodeNotReady, "this node is quarantined; ask another one")
			r.fake.mu.Unlock()
		},
		wire.EndedFailed: func(r *tailing) {
			r.fake.mu.Lock()
			r.fake.fail = errFake
			r.fake.mu.Unlock()
		},
		wire.EndedStopping: func(r *tailing) {
			if err := r.server.Shutdown(r.t.Context()); err != nil {
				r.t.Error(err)
			}
		},
	} {
		t.Run(reason, func(t *testing.T) {
			r := newTailing(t, func(c *Config) { c.TailEvery = 50 * time.Millisecond }, nil)
			r.add(4, "a")
			s := r.open("?from_seq=3")
			s.seqs(2)
			var doing sync.WaitGroup
			doing.Go(func() { does(r) })
			end := s.ended()
			doing.Wait()
			if end.Reason != reason || end.Seq != 4 || end.Generation != 1 || end.Detail == "" {
				t.Errorf("%+v", end)
			}
			if r.count(reason) != 1 {
				t.Errorf("%v are counted", r.count(reason))
			}
		})
	}
}

// TestLiveTailEndsWithItsToken: a stream lives no longer than the token that it was opened with.
func TestLiveTailEndsWithItsToken(t *testing.T) {
	text, id, err := wire.NewToken(wire.RoleAuditor)
	if err != nil {
		t.Fatal(err)
	}
	r := newTailing(t, func(c *Config) { c.NoAuth, c.TailEvery = false, 50*time.Millisecond }, nil)
	r.fake.tokens = []TokenRecord{{ID: id, Name: "a", Role: wire.RoleAuditor, SHA256: sha256.Sum256([]byte(text)),
		ExpiresAt: time.Now().Add(time.Second).UnixNano()}}
	if s := r.open(""); s.resp.StatusCode != 401 {
		t.Errorf("without a token: %d", s.resp.StatusCode)
	}
	r.add(1, "a")
	s := r.open("?from_seq=1", "Authorization", "Bearer "+text)
	if got := s.seqs(1); got[0] != 1 {
		t.Error(got)
	}
	if end := s.ended(); end.Reason != wire.EndedCredential || end.Seq != 1 {
		t.Errorf("%+v", end)
	}
}

// line is a listener whose connections pass large writes on in their own way.
type line struct {
	net.Listener
	large func(write func() (int, error)) (int, error)
}

type linked struct {
	net.Conn
	of line
}

func (l line) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return linked{c, l}, err
}

func (c linked) Write(b []byte) (int, error) {
	if len(b) < 64<<10 {
		return c.Conn.Write(b)
	}
	return c.of.large(func() (int, error) { return c.Conn.Write(b) })
}

// behindLine opens a stream of n rows behind a line, and reads what comes until it ends. It returns the number of rows.
func behindLine(t *testing.T, n int, l line) (r *tailing, rows int, end string) {
	t.Helper()
	var err error
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r = newTailing(t, func(c *Config) { c.TailSlow = 50 * time.Millisecond }, l)
	r.add(n, "a")
	s := r.open("?from_seq=1")
	for e := s.next(); e != nil; e = s.next() {
		switch e["event"] {
		case wire.StreamSubmission:
			if rows++; e["id"] != fmt.Sprint(rows) {
				t.Fatalf("%v is row %d", e, rows)
			}
		case wire.StreamEnd:
			end = e["data"]
		}
	}
	return r, rows, end
}

// TestLiveTailSlowReader: a reader that takes a chunk too slowly is told so. It goes on where it was, without a gap.
func TestLiveTailSlowReader(t *testing.T) {
	const n = 3*streamChunk + 1
	r, got, end := behindLine(t, n, line{large: func(write func() (int, error)) (int, error) {
		slow := time.NewTimer(200 * time.Millisecond) // the line takes so long for a chunk
		<-slow.C
		return write()
	}})
	if got != streamChunk || !strings.Contains(end, wire.EndedSlow) || r.count(wire.EndedSlow) != 1 {
		t.Fatalf("%d rows, then %s", got, end)
	}
	rest := r.open("?from_seq=1&shard=a", wire.HeaderLastEventID, fmt.Sprint(n-1))
	if seq := rest.seqs(1); seq[0] != n {
		t.Errorf("%v", seq)
	}
}

// TestLiveTailStuckReader: a reader that takes nothing at all is cut off, which cannot be said, but is counted.
func TestLiveTailStuckReader(t *testing.T) {
	r, got, end := behindLine(t, streamChunk, line{large: func(func() (int, error)) (int, error) {
		return 0, os.ErrDeadlineExceeded // what a write after its deadline gives
	}})
	if got == streamChunk || end != "" || r.count(wire.EndedSlow) != 1 {
		t.Errorf("%d rows, then %q, %v stuck readers", got, end, r.count(wire.EndedSlow))
	}
}
