package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/trace"
	"github.com/recount-ledger/recount/wire"
)

// submitBudget is the number of allocations that a handler may make for one submission, without those of
// net/http and of the ledger. It makes 8, and up to 3 more under the race detector, which empties pools.
const submitBudget = 11

// TestSubmitBudget: a submission that the ledger answers at once costs its handler no more than the budget.
func TestSubmitBudget(t *testing.T) {
	if got := testing.AllocsPerRun(1000, submitFixed(t)); got > submitBudget {
		t.Errorf("%v allocations, the budget is %d", got, submitBudget)
	}
}

func BenchmarkSubmit(b *testing.B) {
	submit := submitFixed(b)
	b.ReportAllocs()
	for b.Loop() {
		submit()
	}
}

// batchBudget is the number of allocations for a batch of one record more than for a single submission: the batch
// and its group, the line, the text, one header.
const batchBudget = submitBudget + 9

// lineBudget is the number of allocations for each record of a large batch: the line.
const lineBudget = 1.5

// TestBatchBudget: a batch of one record costs little more than a single submission, and each further record less.
func TestBatchBudget(t *testing.T) {
	one := testing.AllocsPerRun(1000, batchFixed(t, 1))
	if one > batchBudget {
		t.Errorf("%v allocations for a batch of one, the budget is %d", one, batchBudget)
	}
	if each := (testing.AllocsPerRun(100, batchFixed(t, 201)) - one) / 200; each > lineBudget {
		t.Errorf("%v allocations for each record, the budget is %v", each, lineBudget)
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			submit := batchFixed(b, n)
			b.ReportAllocs()
			for b.Loop() {
				submit()
			}
		})
	}
}

// submitFixed returns a function that sends a record to a handler. Everything around the handler is made once, and
// the answer of the ledger too.
func submitFixed(t testing.TB) func() {
	t.Helper()
	return sendFixed(t, "/v1/pcs/submit", wire.MediaJSON, record("s", 1, nil))
}

// batchFixed is submitFixed with a batch of n records.
func batchFixed(t testing.TB, n int) func() {
	t.Helper()
	return sendFixed(t, "/v1/pcs/submit-batch", wire.MediaNDJSON, strings.Repeat(record("s", 1, nil)+"\n", n))
}

func sendFixed(t testing.TB, path, media, body string) func() {
	t.Helper()
	return sendTo(t, fixedHandler(t, nil), path, media, body)
}

func sendTo(t testing.TB, h http.Handler, path, media, body string) func() {
	t.Helper()
	reader := strings.NewReader(body)
	req := httptest.NewRequest(http.MethodPost, path, reader)
	req.Header.Set("Content-Type", media)
	req.Body = io.NopCloser(reader)
	w := &sink{header: http.Header{}}
	return func() {
		reader.Reset(body)
		clear(w.header)
		if h.ServeHTTP(w, req); w.status != http.StatusOK {
			t.Fatalf("status %d", w.status)
		}
	}
}

// fixedHandler is a handler over a ledger that gives one answer to everything.
func fixedHandler(t testing.TB, follow func([]string, time.Time) Trace) http.Handler {
	t.Helper()
	fake := newFake()
	answer, err := fake.Submit(t.Context(), []byte(record("s", 1, nil)), Meta{})
	if err != nil {
		t.Fatal(err)
	}
	ledger := fake.ledger()
	ledger.Submitter = fixedAnswer{answer}
	h, err := NewHandler(Config{
		NoAuth:      true,
		Ledger:      ledger,
		Logger:      slog.New(slog.DiscardHandler),
		Registry:    prometheus.NewRegistry(),
		NodeID:      "node-1",
		AddressRate: 1e9,
		Follow:      follow,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tracings are handlers without a tracer, with one that follows no submission, and with one that follows every one and whose
// collector is away.
func tracings(t testing.TB) (names []string, submits []func()) {
	t.Helper()
	body := record("s", 1, nil)
	for _, x := range []struct {
		name  string
		ratio float64
	}{{"off", -1}, {"none", 0}, {"all", 1}} {
		var follow func([]string, time.Time) Trace
		if x.ratio >= 0 {
			s := trace.Defaults()
			s.Endpoint, s.SampleRatio = "http://127.0.0.1:9", x.ratio
			tracer, err := trace.New(trace.Options{Settings: s, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { tracer.Close(context.Background()) })
			follow = func(parents []string, began time.Time) Trace {
				if story := tracer.Follow(parents, began); story != nil {
					return story
				}
				return nil
			}
		}
		names = append(names, x.name)
		submits = append(submits, sendTo(t, fixedHandler(t, follow), "/v1/pcs/submit", wire.MediaJSON, body))
	}
	return names, submits
}

// TestTracingBudget: a submission that nobody follows allocates no more with a tracer than without one.
func TestTracingBudget(t *testing.T) {
	_, submits := tracings(t)
	off, none := testing.AllocsPerRun(1000, submits[0]), testing.AllocsPerRun(1000, submits[1])
	if off > submitBudget || none > off {
		t.Errorf("%v allocations without a tracer, %v with one", off, none)
	}
}

// BenchmarkTracing compares the medians of the three in one run: each iteration sends one submission to each.
func BenchmarkTracing(b *testing.B) {
	names, submits := tracings(b)
	took := make([][]time.Duration, len(submits))
	for b.Loop() {
		for i, submit := range submits {
			began := time.Now()
			submit()
			took[i] = append(took[i], time.Since(began))
		}
	}
	for i, name := range names {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2]), name+"-median-ns")
	}
}

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (w *sink) Header() http.Header         { return w.header }
func (w *sink) WriteHeader(status int)      { w.status = status }
func (w *sink) Write(p []byte) (int, error) { return len(p), nil }

// fixedAnswer gives one answer to everything.
type fixedAnswer struct{ answer *wire.SubmitAnswer }

func (f fixedAnswer) Submit(context.Context, []byte, Meta) (*wire.SubmitAnswer, error) {
	return f.answer, nil
}

func (f fixedAnswer) Batch(Meta) (Batch, error) { return fixedBatch(f), nil }

type fixedBatch fixedAnswer

func (f fixedBatch) Submit(_ context.Context, bodies [][]byte) []Submitted {
	out := make([]Submitted, len(bodies))
	for i := range out {
		out[i].Answer = f.answer
	}
	return out
}
