// Package trace sends spans of submissions to a collector of OpenTelemetry. It chooses the submissions, hands each
// a Story, and makes the spans of a Story when the submission is answered. The code on the way of a submission does
// not know this package: it ends laps of a laps.Watch, which is empty for a submission that nobody traces.
//
//	submit                        the request, on the node that received it
//	├── pack                      waits in the queue of that node
//	├── commit                    from there until the node knows that it is committed
//	│   └── forward               on the leader, if that is another node: the pack that it received
//	│       ├── pack              waits in the queue of the leader
//	│       └── commit            is replicated
//	└── fold                      until that node has folded it
//
// A trace has at most Settings.SampleRatio of the submissions, and those whose client sent a sampled traceparent,
// up to Settings.ClientRate a second. It refuses to hold a submission up: a full queue drops spans and counts them.
package trace

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/recount-ledger/recount/internal/limit"
)

// Bounds of what waits for the collector.
const (
	mostSpans   = 2048 // that wait or are under way, above which spans are dropped
	mostBatch   = 512  // spans in one request
	batchEvery  = time.Second
	sendTimeout = 5 * time.Second  // of one request
	sendFor     = 10 * time.Second // of the repetitions of a request
	maxResponse = 16 << 10         // bytes of an answer of the collector
	closeFor    = time.Second      // for which the end of a node waits for the collector
)

// Options of a Tracer.
type Options struct {
	Settings
	NodeID, ClusterID, Version string // name the node in its spans
	Logger                     *slog.Logger
}

// Counters count spans, and submissions above the rate of clients.
type Counters struct {
	Exported, Failed, Dropped atomic.Uint64
	OverRate                  atomic.Uint64
}

// Tracer chooses submissions and sends their spans. It is safe for concurrent use.
type Tracer struct {
	o        Options
	clients  *limit.Buckets // nil: no submission is traced because its client asks for it
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	out      *counted
}

// New starts a tracer. It returns nil if nothing is to be traced. A collector that is away is no error.
func New(o Options) (*Tracer, error) {
	if !o.On() {
		return nil, nil
	}
	if err := errors.Join(o.Validate()...); err != nil {
		return nil, err
	}
	next, err := newExporter(o.Settings)
	if err != nil {
		return nil, err
	}
	t := &Tracer{o: o, out: newCounted(next, o.Logger)}
	if o.ClientRate > 0 {
		t.clients = limit.NewBuckets(1, o.ClientRate, max(1, o.ClientRate))
	}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(t.out, sdk.WithMaxQueueSize(mostSpans),
			sdk.WithMaxExportBatchSize(mostBatch), sdk.WithBatchTimeout(batchEvery),
			sdk.WithExportTimeout(sendFor+sendTimeout))),
		sdk.WithSampler(sdk.AlwaysSample()), // a Story is made for what is sampled only
		sdk.WithIDGenerator(chosenIDs{}),
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeCountLimit: -1, AttributeValueLengthLimit: -1}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "recount-node"),
			attribute.String("service.namespace", o.ClusterID), attribute.String("service.instance.id", o.NodeID),
			attribute.String("service.version", o.Version))),
	)
	t.tracer = t.provider.Tracer("github.com/recount-ledger/recount/internal/trace")
	return t, nil
}

// newExporter returns the library's exporter. Every option that it would read from the environment is given here,
// so that the settings of the node are the only ones.
func newExporter(s Settings) (sdk.SpanExporter, error) {
	u, err := s.url()
	if err != nil {
		return nil, err
	}
	client, err := newClient(s)
	if err != nil {
		return nil, err
	}
	encoding := otlptracehttp.EncodingProtobuf
	if s.Protocol == ProtocolJSON {
		encoding = otlptracehttp.EncodingJSON
	}
	return otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(u.String()),
		otlptracehttp.WithHTTPClient(client), otlptracehttp.WithTLSClientConfig(nil),
		otlptracehttp.WithHeaders(nil), otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithMaxResponseSize(maxResponse),
		otlptracehttp.WithEncoding(encoding), otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: sendTimeout / 10,
			MaxInterval: sendTimeout / 2, MaxElapsedTime: sendFor}))
}

// Counters returns the counters, which live as long as t. Those of a nil Tracer stay 0.
func (t *Tracer) Counters() *Counters {
	if t == nil {
		return &Counters{}
	}
	return &t.out.counters
}

// Follow chooses a submission or returns nil. traceparents are the headers of that name of its request (W3C Trace
// Context). A parent that is sampled counts up to the rate of clients. One that is not sampled says that its trace
// is not kept, so nothing is. What else a client may send along (tracestate, baggage) is never read.
func (t *Tracer) Follow(traceparents []string, began time.Time) *Story {
	parent := parentOf(traceparents)
	switch {
	case parent.IsValid() && !parent.IsSampled():
		return nil
	case parent.IsValid() && t.clientMay():
	case rand.Float64() < t.o.SampleRatio:
	default:
		return nil
	}
	return t.begin("submit", otel.SpanKindServer, parent, began)
}

// clientMay draws from the rate of clients.
func (t *Tracer) clientMay() bool {
	if t.clients != nil {
		if _, ok := t.clients.Take(""); ok {
			return true
		}
	}
	t.out.counters.OverRate.Add(1)
	return false
}

// parentOf reads one traceparent. Several, or a malformed one, count as none.
func parentOf(traceparents []string) otel.SpanContext {
	if len(traceparents) != 1 {
		return otel.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), parentHeader(traceparents[0]))
	return otel.SpanContextFromContext(ctx)
}

// parentHeader gives the library the traceparent and nothing else.
type parentHeader string

func (h parentHeader) Get(key string) string {
	if key == "traceparent" {
		return string(h)
	}
	return ""
}

func (parentHeader) Set(string, string) {}

func (parentHeader) Keys() []string { return []string{"traceparent"} }

// Close sends what waits, for at most closeFor, and ends.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeFor)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.o.Logger.Debug("spans were not sent before the end", "error", err)
	}
	t.out.giveUp()
}
