package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// start holds the time and the processor time from the start of a process until its node was ready, in seconds.
type start struct{ took, cpu float64 }

func (s start) String() string { return fmt.Sprintf("%.2f s (%.2f s of CPU)", s.took, s.cpu) }

// restarts are the starts after a clean stop and after kill -9.
type restarts struct{ clean, killed start }

func (r restarts) print() {
	fmt.Printf("  a follower is ready %v after a clean stop, %v after kill -9\n", r.clean, r.killed)
}

// restart stops a follower by signal and starts it again, and then kills it and starts it again.
func (s *subject) restart(ctx context.Context) (r restarts, err error) {
	leader, err := s.leader(ctx)
	if err != nil {
		return r, err
	}
	node := (leader + 1) % len(s.cluster.API)
	if err := s.cluster.Kill(node); err != nil {
		return r, err
	}
	if r.killed, err = s.begin(ctx, node); err != nil {
		return r, fmt.Errorf("after kill -9: %w", err)
	}
	if err := s.cluster.Signal(node, syscall.SIGTERM); err != nil {
		return r, err
	}
	if err := s.cluster.AwaitStopped(node); err != nil {
		return r, err
	}
	if r.clean, err = s.begin(ctx, node); err != nil {
		return r, fmt.Errorf("after a clean stop: %w", err)
	}
	return r, nil
}

// awaySpan is the time for which a follower is away.
const awaySpan = 12 * time.Second

// leave kills a follower and starts it again after a while in which records came.
func (b *bench) leave(ctx context.Context) (st start, err error) {
	leader, err := b.leader(ctx)
	if err != nil {
		return st, err
	}
	node := (leader + 1) % len(b.cluster.API)
	if err := b.cluster.Kill(node); err != nil {
		return st, err
	}
	requests, err := b.src.Requests(1, int(4000*awaySpan.Seconds()))
	if err != nil {
		return st, err
	}
	if _, err := b.target(leader).cell(ctx, requests, awaySpan, nil); err != nil {
		return st, err
	}
	return b.begin(ctx, node)
}

// begin starts a node and waits until it is ready.
func (s *subject) begin(ctx context.Context, node int) (st start, err error) {
	began := time.Now()
	if err := s.cluster.Restart(node, s.env...); err != nil {
		return st, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var body struct{}
		if status, _ := harness.GetJSON(ctx, s.client, s.cluster.API[node]+"/readyz", &body); status == 200 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
	st.took = time.Since(began).Seconds()
	pid, err := s.cluster.PID(node)
	if err != nil {
		return st, err
	}
	st.cpu, err = cpuSeconds(pid)
	return st, err
}
