package fsm

import (
	"context"
	"sync"
)

// progress is a cursor that callers can wait on.
type progress struct {
	mu      sync.Mutex
	cur     Cursor
	changed chan struct{}
	ended   bool // the cursor does not move any more
}

func newProgress(c Cursor) *progress { return &progress{cur: c, changed: make(chan struct{})} }

func (p *progress) get() Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cur
}

func (p *progress) set(c Cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cur = c
	close(p.changed)
	p.changed = make(chan struct{})
}

// end wakes all waiters with ErrDropped.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns when reached returns true for the cursor. It fails with the error of ctx or with ErrDropped.
func (p *progress) wait(ctx context.Context, reached func(Cursor) bool) error {
	for {
		p.mu.Lock()
		cur, changed, ended := p.cur, p.changed, p.ended
		p.mu.Unlock()
		if reached(cur) {
			return nil
		}
		if ended {
			return ErrDropped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *progress) waitIndex(ctx context.Context, index uint64) error {
	return p.wait(ctx, func(c Cursor) bool { return c.Index >= index })
}
