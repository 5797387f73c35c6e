//go:build profiling

package laps

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Watch measures one submission. The zero Watch measures nothing. It is safe for concurrent use.
type Watch struct{ m *moments }

// moments are the ends of the laps, in nanoseconds since the beginning, 0 for a lap that has not ended.
type moments struct {
	began time.Time
	ends  [Laps]atomic.Int64
}

type key struct{}

// Start returns a watch whose first lap begins now.
func Start() Watch { return Watch{&moments{began: time.Now()}} }

// Of returns the watch that travels with ctx.
func Of(ctx context.Context) Watch {
	m, _ := ctx.Value(key{}).(*moments)
	return Watch{m}
}

// In returns a context with which the watch travels.
func (w Watch) In(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, w.m) }

// Lap ends a lap now.
func (w Watch) Lap(l Lap) {
	if w.m != nil {
		w.m.ends[l].Store(int64(time.Since(w.m.began)))
	}
}

// Report writes the lengths of the laps into a header.
func (w Watch) Report(h http.Header) {
	if w.m == nil {
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
