package trace

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recount-ledger/recount/internal/freeport"
	"github.com/recount-ledger/recount/internal/laps"
	"github.com/recount-ledger/recount/internal/trace/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
	sampled     = "00-" + clientTrace + "-" + clientSpan + "-01"
	unsampled   = "00-" + clientTrace + "-" + clientSpan + "-00"
)

// start starts a tracer that ends with the test.
func start(t testing.TB, log *slog.Logger, tune func(*Settings)) *Tracer {
	t.Helper()
	s := Defaults()
	tune(&s)
	tr, err := New(Options{Settings: s, NodeID: "node-1", ClusterID: "c", Version: "v", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(context.Background()) })
	return tr
}

// file writes a secret file.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// walk ends the laps of a submission that reached the log.
func walk(w laps.Watch) {
	for _, l := range []laps.Lap{laps.Read, laps.Checked, laps.Packed, laps.Committed, laps.Folded} {
		w.Lap(l)
	}
}

// TestSpans: over TLS with an authority and headers of their files, the spans of a submission arrive with their
// parents, their times and their attributes. What else a client sent is not in them. A new token in the file counts
// at once.
func TestSpans(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).StartTLS)
	var tokens atomic.Value
	r.Answer = func(_ http.ResponseWriter, req *http.Request) bool {
		tokens.Store(req.Header.Get("Authorization"))
		return false
	}
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	headers := file(t, "# of the collector\nAuthorization: Bearer first\n")
	tr := start(t, slog.New(slog.DiscardHandler), func(s *Settings) {
		s.Endpoint, s.CAFile, s.HeadersFile, s.SampleRatio = r.URL, ca, headers, 0
	})
	began := time.Now()
	s := tr.Follow([]string{sampled}, began)
	walk(s.Group())
	s.End(map[string]any{"http.response.status_code": 500, "t": strings.Repeat("é", 200), "b": true})
	spans := r.Await(t, func(all []tracetest.Span) bool { return len(all) == 4 })
	id, last := map[string]string{"": clientSpan}, began
	for i, want := range [][2]string{{"submit", ""}, {"pack", "submit"}, {"commit", "submit"}, {"fold", "submit"}} {
		x := spans[i]
		id[x.Name] = x.ID
		if x.Name != want[0] || x.Parent != id[want[1]] || x.Trace != clientTrace || x.Node != "node-1" || x.State != "" {
			t.Errorf("%+v", x)
		}
		if x.Begin.Before(last.Add(-time.Microsecond)) || x.End.Before(x.Begin) {
			t.Errorf("%s: %v to %v, after %v", x.Name, x.Begin, x.End, last)
		}
		if i > 0 {
			last = x.End
		}
	}
	a := spans[0].Attributes
	if !spans[0].Failed || spans[1].Failed || a["t"] != strings.Repeat("é", 128) || a["b"] != "true" || len(a) != 3 {
		t.Errorf("%+v", spans[0])
	}
	if s.ID() != clientTrace || tokens.Load() != "Bearer first" {
		t.Errorf("%s, token %v", s.ID(), tokens.Load())
	}
	if err := os.WriteFile(headers, []byte("Authorization: Bearer second"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.Follow([]string{sampled}, began).End(nil)
	r.Await(t, func(all []tracetest.Span) bool { return len(all) == 5 })
	tr.Close(context.Background())
	if tokens.Load() != "Bearer second" || tr.Counters().Exported.Load() != 5 {
		t.Errorf("token %v, %d exported", tokens.Load(), tr.Counters().Exported.Load())
	}
}

// TestWhoIsTraced: a client cannot have everything traced, and one that samples nothing is left alone.
func TestWhoIsTraced(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).Start)
	count := func(tr *Tracer, parents ...string) (n int, ids map[string]bool) {
		ids = map[string]bool{}
		for range 1000 {
			if s := tr.Follow(parents, time.Now()); s != nil {
				n++
				ids[s.ID()] = true
			}
		}
		return n, ids
	}
	log := slog.New(slog.DiscardHandler)
	with := func(ratio, rate float64) *Tracer {
		return start(t, log, func(s *Settings) { s.Endpoint, s.SampleRatio, s.ClientRate = r.URL, ratio, rate })
	}
	none := with(0, 10)
	if n, ids := count(none, sampled); n < 10 || n > 20 || len(ids) != 1 || !ids[clientTrace] {
		t.Errorf("of 1000 sampled by their client %d are traced, in %v", n, ids)
	}
	if n := none.Counters().OverRate.Load(); n < 980 || n > 990 {
		t.Errorf("%d above the rate", n)
	}
	all := with(1, 0)
	for name, c := range map[string]struct {
		tr      *Tracer
		parents []string
		want    int
		traces  int
	}{
		"no ratio":              {none, nil, 0, 0},
		"every one":             {all, nil, 1000, 1000},
		"above the rate":        {all, []string{sampled}, 1000, 1},
		"unsampled":             {all, []string{unsampled}, 0, 0},
		"malformed":             {none, []string{"00-x-01"}, 0, 0},
		"the zero trace":        {none, []string{"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, 0, 0},
		"two parents":           {none, []string{sampled, sampled}, 0, 0},
		"malformed, and sample": {all, []string{sampled + sampled}, 1000, 1000},
	} {
		if n, ids := count(c.tr, c.parents...); n != c.want || len(ids) != c.traces {
			t.Errorf("%s: %d are traced in %d traces, want %d in %d", name, n, len(ids), c.want, c.traces)
		}
	}
	if n, _ := count(with(0.5, 0)); n < 400 || n > 600 {
		t.Errorf("of 1000 at 0.5, %d are traced", n)
	}
}

// TestDeadCollector: nobody listens, or the collector hangs. A submission is never held up, what is too much is
// dropped and counted, the log says it once, and the end does not wait.
func TestDeadCollector(t *testing.T) {
	ended := make(chan struct{})
	hanging := tracetest.New(t, (*httptest.Server).Start)
	hanging.Answer = func(_ http.ResponseWriter, req *http.Request) bool {
		select {
		case <-req.Context().Done():
		case <-ended:
		}
		return true
	}
	t.Cleanup(func() { close(ended) }) // before the receiver closes
	free, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, endpoint := range map[string]string{"nobody": "http://" + free[0], "hanging": hanging.URL} {
		t.Run(name, func(t *testing.T) {
			var lines bytes.Buffer
			log := slog.New(slog.NewTextHandler(&lines, nil))
			tr := start(t, log, func(s *Settings) { s.Endpoint, s.SampleRatio = endpoint, 1 })
			var slowest time.Duration
			const submissions = 2000
			for range submissions {
				began := time.Now()
				s := tr.Follow(nil, began)
				walk(s.Group())
				s.End(nil)
				slowest = max(slowest, time.Since(began))
			}
			c := tr.Counters()
			gone, open := c.Dropped.Load()+c.Failed.Load(), tr.out.open.Load()
			if slowest > time.Second || gone < 4*submissions-mostSpans || open > mostSpans {
				t.Errorf("the slowest took %v, %d dropped or failed, %d open", slowest, gone, open)
			}
			if endpoint == hanging.URL && c.Dropped.Load() < 4*submissions-mostSpans-mostBatch {
				t.Errorf("%d dropped", c.Dropped.Load())
			}
			began := time.Now()
			tr.Close(context.Background())
			if took := time.Since(began); took > closeFor+5*time.Second {
				t.Errorf("the end took %v", took)
			}
			if err := tr.settle(); err != nil {
				t.Fatal(err)
			}
			if all := c.Exported.Load() + c.Failed.Load() + c.Dropped.Load(); all != 4*submissions || c.Exported.Load() != 0 {
				t.Errorf("%d exported, %d failed, %d dropped", c.Exported.Load(), c.Failed.Load(), c.Dropped.Load())
			}
			if n := strings.Count(lines.String(), "\n"); n > 1 {
				t.Errorf("%d lines: %s", n, &lines)
			}
		})
	}
}

// settle waits until the goroutine of the library has ended, so that every span is counted.
func (t *Tracer) settle() error {
	for until := time.Now().Add(time.Minute); t.out.open.Load() > 0; {
		if time.Now().After(until) {
			return errors.New("spans are still under way")
		}
		<-time.After(time.Millisecond)
	}
	return nil
}

// TestAwayAndBack: the log says when the collector refuses, and when it takes spans again.
func TestAwayAndBack(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).Start)
	var refuse atomic.Bool
	refuse.Store(true)
	r.Answer = func(w http.ResponseWriter, _ *http.Request) bool {
		if refuse.Load() {
			http.Redirect(w, &http.Request{Method: http.MethodPost}, r.URL+"/v1/traces", http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	lines := make(chan string, 8)
	log := slog.New(slog.NewTextHandler(writer(func(b []byte) { lines <- string(b) }), nil))
	tr := start(t, log, func(s *Settings) { s.Endpoint, s.SampleRatio, s.Protocol = r.URL, 1, ProtocolJSON })
	tr.Follow(nil, time.Now()).End(nil)
	if line := <-lines; !strings.Contains(line, "does not take spans") || !strings.Contains(line, "redirected") {
		t.Error(line)
	}
	refuse.Store(false)
	tr.Follow(nil, time.Now()).End(nil)
	if line := <-lines; !strings.Contains(line, "again") {
		t.Error(line)
	}
	if _, err := r.Spans(); err != nil {
		t.Error(err)
	}
	tr.Close(context.Background())
	if c := tr.Counters(); c.Failed.Load() != 1 || c.Exported.Load() != 1 {
		t.Errorf("%d failed, %d exported", c.Failed.Load(), c.Exported.Load())
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// TestForwarded: a pack of another node has a story for each of its links, below the span of the link.
func TestForwarded(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).Start)
	tr := start(t, slog.New(slog.DiscardHandler), func(s *Settings) { s.Endpoint = r.URL })
	links := []laps.Link{{0: 1, 23: 1}, {0: 1, 23: 2}, {}}
	f := tr.Forwarded(links)
	f.Watch().Lap(laps.Checked)
	f.Watch().Lap(laps.Packed)
	f.Watch().Lap(laps.Committed)
	f.End(nil)
	spans := r.Await(t, func(all []tracetest.Span) bool { return len(all) == 6 })
	for i, x := range spans {
		want := fmt.Sprintf("%016x", 1+i/3)
		if i%3 > 0 {
			want = spans[i/3*3].ID
		}
		if x.Name != []string{"forward", "pack", "commit"}[i%3] || x.Parent != want || x.Trace != "01"+strings.Repeat("0", 30) {
			t.Errorf("%+v, want below %s", x, want)
		}
	}
	var off *Tracer
	off.Forwarded(links).End(nil)
	if n := len(off.Forwarded(links).stories); n != 0 || off.Counters().Dropped.Load() != 0 {
		t.Error("a node that traces nothing has stories")
	}
}

// TestBatch: each group of a batch has its own spans, and a batch without bound has no spans without bound.
func TestBatch(t *testing.T) {
	r := tracetest.New(t, (*httptest.Server).Start)
	tr := start(t, slog.New(slog.DiscardHandler), func(s *Settings) { s.Endpoint, s.SampleRatio = r.URL, 1 })
	s := tr.Follow(nil, time.Now())
	for range mostGroups + 1 {
		walk(s.Group())
	}
	s.End(nil)
	r.Await(t, func(all []tracetest.Span) bool { return len(all) == 1+3*mostGroups })
}

// BenchmarkStory is all that a sampled submission costs: its watch, its laps and its four spans.
func BenchmarkStory(b *testing.B) {
	r := tracetest.New(b, (*httptest.Server).Start)
	tr := start(b, slog.New(slog.DiscardHandler), func(s *Settings) { s.Endpoint, s.SampleRatio = r.URL, 1 })
	b.ReportAllocs()
	for b.Loop() {
		s := tr.Follow(nil, time.Now())
		walk(s.Group())
		s.End(map[string]any{"http.response.status_code": 200, "recount.pcs_id": "x"})
		tr.out.open.Store(0) // else most would be dropped
	}
}
