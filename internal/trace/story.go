package trace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/recount-ledger/recount/internal/laps"
)

// mostGroups bounds the groups of a batch that have spans.
const mostGroups = 64

// Story follows one request with submissions, or to one pack that another node forwarded.
type Story struct {
	t      *Tracer
	name   string
	kind   otel.SpanKind
	parent otel.SpanContext // not valid for a trace that begins here
	self   otel.SpanContext
	began  time.Time

	mu     sync.Mutex
	groups []group
}

// group are records that entered the log together.
type group struct {
	watch  laps.Watch
	commit otel.SpanID
}

// begin begins a story below a parent, or in a trace of its own.
func (t *Tracer) begin(name string, kind otel.SpanKind, parent otel.SpanContext, began time.Time) *Story {
	id := parent.TraceID()
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	self := otel.NewSpanContext(otel.SpanContextConfig{TraceID: id, SpanID: newSpanID(), TraceFlags: otel.FlagsSampled})
	return &Story{t: t, name: name, kind: kind, parent: parent, self: self, began: began}
}

// ID returns the id of the trace, 32 hexadecimal digits.
func (s *Story) ID() string { return s.self.TraceID().String() }

// Group begins records that enter the log together. Their watch names the span of their commit to other nodes.
func (s *Story) Group() laps.Watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.groups) == mostGroups {
		return laps.Start()
	}
	g := group{commit: newSpanID()}
	var link laps.Link
	id := s.self.TraceID()
	copy(link[copy(link[:], id[:]):], g.commit[:])
	g.watch = laps.StartAt(s.began, link)
	s.groups = append(s.groups, g)
	return g.watch
}

// span is one span before it is handed over.
type span struct {
	name       string
	kind       otel.SpanKind
	id         otel.SpanID
	parent     otel.SpanContext
	begin, end time.Time
	attributes []attribute.KeyValue
	failed     bool
}

// End makes the spans and queues them, or drops them if too many wait. about has texts, whole numbers and booleans.
func (s *Story) End(about map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []span{{name: s.name, kind: s.kind, id: s.self.SpanID(), parent: s.parent, begin: s.began, end: time.Now(),
		attributes: attributes(about), failed: failed(about)}}
	for _, g := range s.groups {
		all = s.appendGroup(all, g)
	}
	if !s.t.out.reserve(len(all)) {
		return
	}
	for _, x := range all {
		s.t.emit(s.self.TraceID(), x)
	}
}

// appendGroup appends the spans of the laps that have ended.
func (s *Story) appendGroup(all []span, g group) []span {
	for _, part := range []struct {
		name     string
		from, to laps.Lap
		id       otel.SpanID
	}{
		{"pack", laps.Checked, laps.Packed, newSpanID()},
		{"commit", laps.Packed, laps.Committed, g.commit},
		{"fold", laps.Committed, laps.Folded, newSpanID()},
	} {
		begin, began := g.watch.End(part.from)
		end, ended := g.watch.End(part.to)
		if began && ended {
			all = append(all, span{name: part.name, kind: otel.SpanKindInternal, id: part.id, parent: s.self,
				begin: begin, end: end})
		}
	}
	return all
}

// emit gives a span to the library.
func (t *Tracer) emit(trace otel.TraceID, x span) {
	ctx := context.WithValue(context.Background(), idsKey{}, ids{trace, x.id})
	if x.parent.IsValid() {
		ctx = otel.ContextWithRemoteSpanContext(ctx, x.parent.WithTraceFlags(otel.FlagsSampled))
	}
	_, made := t.tracer.Start(ctx, x.name, otel.WithTimestamp(x.begin), otel.WithSpanKind(x.kind),
		otel.WithAttributes(x.attributes...))
	if x.failed {
		made.SetStatus(codes.Error, "")
	}
	made.End(otel.WithTimestamp(x.end))
}

// attributes are those of a span, with texts of at most maxText bytes. One text that is not UTF-8 would cost the
// whole request.
func attributes(about map[string]any) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(about))
	for name, value := range about {
		switch v := value.(type) {
		case int:
			out = append(out, attribute.Int(name, v))
		case uint64:
			out = append(out, attribute.Int64(name, int64(v)))
		case bool:
			out = append(out, attribute.Bool(name, v))
		case string:
			out = append(out, attribute.String(name, strings.ToValidUTF8(v[:min(len(v), maxText)], "")))
		}
	}
	return out
}

// failed reports whether a status of HTTP says that the node failed. A refusal is no failure.
func failed(about map[string]any) bool {
	status, _ := about[statusKey].(int)
	return status >= http.StatusInternalServerError
}

// statusKey names the attribute with the status of a response.
const statusKey = "http.response.status_code"

// maxText bounds the text of an attribute, in bytes.
const maxText = 256

// ids are those that a span gets.
type ids struct {
	trace otel.TraceID
	span  otel.SpanID
}

type idsKey struct{}

// chosenIDs gives a span the ids of its context: another node may have been told them before the span is made.
type chosenIDs struct{}

func (chosenIDs) NewIDs(ctx context.Context) (otel.TraceID, otel.SpanID) {
	x, _ := ctx.Value(idsKey{}).(ids)
	return x.trace, x.span
}

func (chosenIDs) NewSpanID(ctx context.Context, _ otel.TraceID) otel.SpanID {
	x, _ := ctx.Value(idsKey{}).(ids)
	return x.span
}

func newSpanID() (id otel.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
