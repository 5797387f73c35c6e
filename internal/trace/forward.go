package trace

import (
	"time"

	otel "go.opentelemetry.io/otel/trace"

	"github.com/recount-ledger/recount/internal/laps"
)

// Forwarded are the stories of a pack that another node forwarded. The zero value has none.
type Forwarded struct {
	watch   laps.Watch
	stories []*Story
}

// Forwarded begins the stories of a pack that a node forwarded, one for each of the links, which that node has
// sampled. t may be nil.
func (t *Tracer) Forwarded(links []laps.Link) Forwarded {
	if t == nil || len(links) == 0 {
		return Forwarded{}
	}
	began := time.Now()
	f := Forwarded{watch: laps.StartAt(began, laps.Link{})}
	for _, link := range links[:min(len(links), laps.MostLinks)] {
		parent := otel.NewSpanContext(otel.SpanContextConfig{TraceID: otel.TraceID(link[:16]),
			SpanID: otel.SpanID(link[16:]), TraceFlags: otel.FlagsSampled, Remote: true})
		if !parent.IsValid() {
			continue
		}
		s := t.begin("forward", otel.SpanKindServer, parent, began)
		s.groups = []group{{f.watch, newSpanID()}}
		f.stories = append(f.stories, s)
	}
	return f
}

// Watch returns the watch of the pack.
func (f Forwarded) Watch() laps.Watch { return f.watch }

// End ends the stories.
func (f Forwarded) End(err error) {
	for _, s := range f.stories {
		s.End(map[string]any{"recount.committed": err == nil})
	}
}
