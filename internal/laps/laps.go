// Package laps shows where a submission is while it waits for its answer. A Watch travels with its context and
// notes the moment at which each part of the way ends. Most submissions have an empty Watch, whose methods do
// nothing and allocate nothing. Two kinds have a real one: those that are traced (internal/trace), and all of them
// in a build with the tag "profiling", whose responses have the times in a header.
//
//	watch := laps.Start()                     // or one of internal/trace
//	read the body
//	watch.Lap(laps.Read)
//	answer := submit(watch.In(ctx), body)     // laps.Of(ctx).Lap(laps.Checked), and so on
//	watch.Lap(laps.Answered)
//	watch.Report(header)
//
// The moments are taken around the fold, by those who wait for it. The fold itself has no clock.
package laps

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Lap is a part of the way of a submission. Each begins when the one before it ends.
type Lap int

// The laps, in their order. A constant names the moment at which the lap ends.
const (
	Read      Lap = iota // the body is read
	Checked              // it is decoded and checked, and enters the queue
	Packed               // its pack leaves the queue
	Committed            // the pack is committed, and this node knows its place
	Folded               // this node has folded it
	Woken                // the goroutine of the request runs again
	Answered             // the answer is made
	Laps                 // their number
)

// Header has the length of each lap in the response, in microseconds, separated by commas. A lap that did not end
// has 0.
const Header = "Recount-Laps"

// Link names a span of a trace: 16 bytes of the trace and 8 of the span. What another node does for a submission
// belongs below it. The zero Link names none.
type Link [24]byte

// Watch measures one submission, or records that enter the log together. The zero Watch measures nothing. It is
// safe for concurrent use.
type Watch struct{ m *moments }

// moments are the ends of the laps, in nanoseconds since the beginning, 0 for a lap that has not ended.
type moments struct {
	began time.Time
	ends  [Laps]atomic.Int64
	link  Link
}

// Start returns a watch whose first lap begins now in a build with the tag "profiling", and else an empty one.
func Start() Watch {
	if !profiling {
		return Watch{}
	}
	return StartAt(time.Now(), Link{})
}

// StartAt returns a watch whose first lap began at a moment. link names the span of the commit.
func StartAt(began time.Time, link Link) Watch { return Watch{&moments{began: began, link: link}} }

type watchKey struct{}

// Of returns the watch that travels with ctx.
func Of(ctx context.Context) Watch {
	m, _ := ctx.Value(watchKey{}).(*moments)
	return Watch{m}
}

// In returns a context with which the watch travels.
func (w Watch) In(ctx context.Context) context.Context {
	if w.m == nil {
		return ctx
	}
	return context.WithValue(ctx, watchKey{}, w.m)
}

// Lap ends a lap now.
func (w Watch) Lap(l Lap) {
	if w.m != nil {
		w.m.ends[l].Store(max(1, int64(time.Since(w.m.began))))
	}
}

// End returns the moment at which a lap ended. ok is false if it has not.
func (w Watch) End(l Lap) (end time.Time, ok bool) {
	if w.m == nil {
		return time.Time{}, false
	}
	after := w.m.ends[l].Load()
	return w.m.began.Add(time.Duration(after)), after > 0
}

// Report writes the lengths of the laps into a header, in a build with the tag "profiling".
func (w Watch) Report(h http.Header) {
	if !profiling || w.m == nil {
		return
	}
	var text []byte
	last := int64(0)
	for i := range w.m.ends {
		length := int64(0)
		if end := w.m.ends[i].Load(); end > last {
			length, last = end-last, end
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, length/1e3, 10)
	}
	h[Header] = []string{string(text)}
}
