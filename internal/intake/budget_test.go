package intake_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// acceptedBudget is the number of allocations for one accepted record from its request to its answer, with the log
// and the fold, and without those of net/http. The log and the fold make most of them.
const acceptedBudget = 215

// TestAcceptedBudget: a record that is accepted costs no more than the budget.
func TestAcceptedBudget(t *testing.T) {
	const runs = 500
	e := newEdge(t)
	e.sign(runs + 1) // the first call is not counted
	if got := testing.AllocsPerRun(runs, e.submit); got > acceptedBudget {
		t.Errorf("%v allocations, the budget is %d", got, acceptedBudget)
	}
}

// batchBudget is the number of allocations that a batch of one record makes beyond those of a single submission.
const batchBudget = 16

// TestBatchOfOneBudget: a batch of one record costs little more than a single submission.
func TestBatchOfOneBudget(t *testing.T) {
	const runs = 500
	cost := func(path, media string) float64 {
		e := newEdge(t)
		e.sign(runs + 1)
		e.request.URL.Path = path
		e.request.Header.Set("Content-Type", media)
		return testing.AllocsPerRun(runs, e.submit)
	}
	single := cost("/v1/pcs/submit", wire.MediaJSON)
	if batch := cost("/v1/pcs/submit-batch", wire.MediaNDJSON); batch > single+batchBudget {
		t.Errorf("%v allocations, a single submission makes %v", batch, single)
	} else {
		t.Logf("%v allocations, a single submission makes %v", batch, single)
	}
}

func BenchmarkAccepted(b *testing.B) {
	e := newEdge(b)
	b.ReportAllocs()
	for b.Loop() {
		if len(e.bodies) == 0 {
			b.StopTimer()
			e.sign(1024)
			b.StartTimer()
		}
		e.submit()
	}
}

// edge is a handler over an intake, and the records that are still to be sent to it.
type edge struct {
	*bench
	handler http.Handler
	epoch   int64
	bodies  [][]byte

	request *http.Request
	reader  *bytes.Reader
	answer  sink
}

func newEdge(t testing.TB) *edge {
	t.Helper()
	e := &edge{bench: newBench(t, func(o *intake.Options) {
		o.TokenRate, o.KeyRate = 1e9, 1e9
		o.Answered = func(intake.Seen, api.Meta, *wire.SubmitAnswer, error) {}
	})}
	var err error
	e.handler, err = api.NewHandler(api.Config{
		NoAuth:      true,
		Logger:      slog.New(slog.DiscardHandler),
		Registry:    prometheus.NewRegistry(),
		NodeID:      "n1",
		AddressRate: 1e9,
		Ledger: api.Ledger{ // a submission uses the first two only
			Submitter:   e.Intake,
			Views:       position{},
			Keys:        unused{},
			Freezes:     unused{},
			KnownShards: unused{},
			Policies:    unused{},
			Generations: unused{},
			Operations:  unused{},
			Tokens:      unused{},
			Credentials: unused{},
			Copies:      unused{},
			Evidence:    unused{},
			Members:     unused{},
			Status:      unused{},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.reader, e.answer.header = bytes.NewReader(nil), http.Header{}
	e.request = httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", e.reader)
	e.request.Header.Set("Content-Type", wire.MediaJSON)
	e.request.Body = io.NopCloser(e.reader)
	return e
}

// sign makes n records more.
func (e *edge) sign(n int) {
	for range n {
		e.epoch++
		e.bodies = append(e.bodies, e.bench.sign(nodetest.Record{Shard: "a", Epoch: e.epoch, Root: "r"}))
	}
}

// submit sends the next record.
func (e *edge) submit() {
	e.reader.Reset(e.bodies[0])
	e.request.ContentLength = int64(len(e.bodies[0]))
	e.bodies = e.bodies[1:]
	clear(e.answer.header)
	if e.handler.ServeHTTP(&e.answer, e.request); e.answer.status != http.StatusOK {
		e.Fatalf("status %d", e.answer.status)
	}
}

// position is a view of nothing at a fixed position.
type position struct{ api.Views }

func (position) Position() api.Position { return api.Position{AppliedSeq: 1000, Generation: 1} }

// unused has every part of a ledger that a submission does not use.
type (
	keyPart        = api.Keys
	freezePart     = api.Freezes
	shardPart      = api.KnownShards
	policyPart     = api.Policies
	generationPart = api.Generations
	operationPart  = api.Operations
	tokenPart      = api.Tokens
	credentialPart = api.Credentials
	copyPart       = api.Copies
	evidencePart   = api.Evidence
	memberPart     = api.Members
	statusPart     = api.Status

	unused struct {
		keyPart
		freezePart
		shardPart
		policyPart
		generationPart
		operationPart
		tokenPart
		credentialPart
		copyPart
		evidencePart
		memberPart
		statusPart
	}
)

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (w *sink) Header() http.Header         { return w.header }
func (w *sink) WriteHeader(status int)      { w.status = status }
func (w *sink) Write(p []byte) (int, error) { return len(p), nil }
