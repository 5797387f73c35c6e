package copies

import (
	"context"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/pause"
)

// pacer bounds the bytes per second that all readers of copies together read, so that the disk stays free for the
// log. It allows no bursts beyond one read.
type pacer struct {
	rate int64 // bytes per second, 0 for no bound

	mu   sync.Mutex
	free time.Time // when the next read may begin
}

// wait blocks until n more bytes may be read, or ctx ends.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	rest := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	if rest <= 0 {
		return ctx.Err()
	}
	return pause.For(ctx, rest)
}
