package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// Future is one proposal. A nil error of Wait means that the data is committed at index, and nothing about its
// effect.
type Future struct{ p *proposal }

type proposal struct {
	done  chan struct{}
	index uint64
	err   error
}

// Done returns a channel that is closed when the result is known. That may never happen if the node shuts down.
func (f Future) Done() <-chan struct{} { return f.p.done }

// Wait returns the committed Raft index. With ErrNotLeader and ErrBusy nothing was proposed. ErrLeadershipLost,
// ErrShutdown and ctx's error leave the outcome unknown.
func (f Future) Wait(ctx context.Context) (index uint64, err error) {
	select {
	case <-f.p.done:
		return f.p.index, f.p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func failed(err error) Future {
	p := &proposal{done: make(chan struct{}), err: err}
	close(p.done)
	return Future{p}
}

// Propose passes data to Raft. The data must not be modified afterwards. Proposals of one goroutine are logged
// in order. Propose returns at once unless the queue is full, and then within an election timeout.
func (c *Cluster) Propose(data []byte) Future {
	r := c.raft.Load()
	if r == nil || r.State() != raft.Leader || c.Yielding() || !c.pending.add() {
		return failed(ErrNotLeader)
	}
	if c.handing.Load() { // asked after it was counted, so that Transfer either stops or sees it
		c.pending.finish()
		return failed(ErrNotLeader)
	}
	p := &proposal{done: make(chan struct{})}
	applied := r.Apply(data, c.cfg.Timings.Election)
	go func() {
		defer c.pending.finish()
		p.err = c.proposalError(applied.Error())
		if p.err == nil {
			p.index = applied.Index()
		}
		close(p.done)
	}()
	return Future{p}
}

func (c *Cluster) proposalError(err error) error {
	c.watchdog.onProposal(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return ErrLeadershipLost
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrShutdown
	}
	return fmt.Errorf("%w: %w", ErrLeadershipLost, err)
}

// pendingSet counts proposals in flight and can reject new ones.
type pendingSet struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when n reaches 0 after closing
}

func (p *pendingSet) add() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.n++
	return true
}

func (p *pendingSet) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n--
	if p.closed && p.n == 0 {
		close(p.idle)
	}
}

func (p *pendingSet) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed, p.idle = true, make(chan struct{})
	if p.n == 0 {
		close(p.idle)
	}
}

// none reports whether nothing is in flight.
func (p *pendingSet) none() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n == 0
}

// wait blocks until nothing is in flight or ctx ends. Call refuse first.
func (p *pendingSet) wait(ctx context.Context) {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

func (p *pendingSet) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
