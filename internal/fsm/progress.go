package fsm

import (
	"context"
	"sync"
)

// position is a cursor that callers can wait on.
type position struct {
	mu      sync.Mutex
	cur     Cursor
	changed chan struct{}
	ended   bool // the cursor does not move any more
}

func newPosition(c Cursor) *position { return &position{cur: c, changed: make(chan struct{})} }

func (p *position) get() Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cur
}

func (p *position) set(c Cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cur = c
	close(p.changed)
	p.changed = make(chan struct{})
}

// end wakes all waiters with ErrDropped.
func (p *position) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns when reached returns true for the cursor. It fails with the error of ctx or with ErrDropped.
func (p *position) wait(ctx context.Context, reached func(Cursor) bool) error {
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

func (p *position) waitIndex(ctx context.Context, index uint64) error {
	return p.wait(ctx, func(c Cursor) bool { return c.Index >= index })
}
