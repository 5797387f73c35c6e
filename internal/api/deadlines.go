package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxGrain bounds the time for which submissions share a deadline.
const maxGrain = 100 * time.Millisecond

// deadlines gives submissions contexts that they share, so that a submission needs no timer and no context of its
// own. All that begin within one grain have the deadline of the first of them. Each therefore waits for the
// timeout, less up to one grain.
//
// Such a context does not end when the client hangs up. The handler of a client that is gone waits for the
// outcome as any other, at most until the deadline. The record of such a client is committed as if it had waited,
// and a client that sends it again gets that outcome. Until then the request counts as undecided, and its body
// and its share of the queue stay taken.
type deadlines struct {
	timeout, grain time.Duration

	mu     sync.Mutex // held to begin another grain
	latest atomic.Pointer[deadline]
}

// deadline is the context of one grain.
type deadline struct {
	context.Context
	until time.Time // end of the grain
}

func newDeadlines(timeout time.Duration) *deadlines {
	return &deadlines{timeout: timeout, grain: min(maxGrain, timeout/10)}
}

// at returns the context of what begins now.
func (d *deadlines) at(now time.Time) context.Context {
	if c := d.latest.Load(); c != nil && now.Before(c.until) {
		return c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.latest.Load(); c != nil && now.Before(c.until) {
		return c
	}
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(d.timeout))
	context.AfterFunc(ctx, cancel) // it ends by itself, there is nothing that could end it earlier
	c := &deadline{ctx, now.Add(d.grain)}
	d.latest.Store(c)
	return c
}
