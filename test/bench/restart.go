package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// restarts are the times from the start of a process until the node is ready, in seconds.
type restarts struct{ clean, killed float64 }

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

// begin starts a node and returns the seconds until it is ready.
func (s *subject) begin(ctx context.Context, node int) (float64, error) {
	start := time.Now()
	if err := s.cluster.Restart(node, s.env...); err != nil {
		return 0, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var body struct{}
		if status, _ := harness.GetJSON(ctx, s.client, s.cluster.API[node]+"/readyz", &body); status == 200 {
			return time.Since(start).Seconds(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
