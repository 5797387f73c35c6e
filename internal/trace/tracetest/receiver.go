// Package tracetest has a collector of traces for tests: a server that speaks OTLP over HTTP and keeps what it
// takes. It refuses to know the code that sends: it decodes the messages of the specification.
package tracetest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Span is one span that was taken.
type Span struct {
	Trace, ID, Parent string // hexadecimal, Parent empty for the first of a trace
	Name, Node        string
	Kind              trace.Span_SpanKind
	Begin, End        time.Time
	Attributes        map[string]string
	State             string // tracestate
	Failed            bool
}

// Receiver is a collector.
type Receiver struct {
	*httptest.Server
	// Answer may answer a request in place of the receiver. It reports whether it has. Set it before the first
	// request.
	Answer func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	more  chan struct{} // closed and replaced at news
	spans []Span
	fault error
}

// New starts a collector that ends with the test, by start: (*httptest.Server).Start or StartTLS.
func New(t testing.TB, start func(*httptest.Server)) *Receiver {
	r := &Receiver{more: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.take)
	r.Server = httptest.NewUnstartedServer(mux)
	start(r.Server)
	t.Cleanup(r.Close)
	return r
}

// Spans returns what was taken so far. It fails if a request was not OTLP.
func (r *Receiver) Spans() ([]Span, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans), r.fault
}

// Await waits until done returns true of the spans, and returns them.
func (r *Receiver) Await(t testing.TB, done func([]Span) bool) []Span {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		r.mu.Lock()
		spans, fault, more := slices.Clone(r.spans), r.fault, r.more
		r.mu.Unlock()
		if fault != nil {
			t.Fatal(fault)
		}
		if done(spans) {
			return spans
		}
		select {
		case <-more:
		case <-limit.C:
			t.Fatalf("the collector has only %+v", spans)
		}
	}
}

func (r *Receiver) take(w http.ResponseWriter, req *http.Request) {
	if r.Answer != nil && r.Answer(w, req) {
		return
	}
	spans, err := decode(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spans = append(r.spans, spans...); r.fault == nil {
		r.fault = err
	}
	close(r.more)
	r.more = make(chan struct{})
	w.Header().Set("Content-Type", req.Header.Get("Content-Type"))
}

func decode(req *http.Request) ([]Span, error) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var m collector.ExportTraceServiceRequest
	switch media := req.Header.Get("Content-Type"); media {
	case "application/x-protobuf":
		err = proto.Unmarshal(text, &m)
	case "application/json":
		return nil, decodeJSON(text)
	default:
		err = fmt.Errorf("media type %q", media)
	}
	return spansOf(&m), err
}

// decodeJSON only looks whether the text is OTLP: its JSON has ids in hexadecimal, which protojson reads as base64.
func decodeJSON(text []byte) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, &collector.ExportTraceServiceRequest{})
}

func spansOf(m *collector.ExportTraceServiceRequest) (out []Span) {
	for _, resource := range m.GetResourceSpans() {
		node := attributes(resource.GetResource().GetAttributes())["service.instance.id"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				out = append(out, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
					Parent: hex.EncodeToString(s.GetParentSpanId()), Name: s.GetName(), Node: node, Kind: s.GetKind(),
					Begin:      time.Unix(0, int64(s.GetStartTimeUnixNano())),
					End:        time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attributes: attributes(s.GetAttributes()), State: s.GetTraceState(),
					Failed: s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR,
				})
			}
		}
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			out[a.GetKey()] = fmt.Sprint(v.BoolValue)
		default:
			out[a.GetKey()] = fmt.Sprintf("%T", v)
		}
	}
	return out
}
