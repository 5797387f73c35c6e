package node

import (
	"context"
	"fmt"
	"time"
)

// Alive returns nil when every check of readiness answers before ctx ends, whatever it answers. A node that is not
// ready is well. A check that does not return shows that a part of the node waits for a lock or a channel that nobody
// serves.
func Alive(ctx context.Context, n *Node) error { return answer(ctx, n.readiness()) }

// answer runs the checks beside the caller, because one that hangs must not take the caller with it. A check may wait
// for something that takes long, such as a fold that catches up. Its context ends after half of the time, so that it
// can still return.
func answer(ctx context.Context, checks []check) error {
	half, cancel := halfOf(ctx)
	returned := make(chan string, len(checks))
	go func() {
		defer cancel()
		for _, c := range checks {
			_ = c.err(half)
			returned <- c.name
		}
	}()
	for _, c := range checks {
		select {
		case <-returned:
		case <-ctx.Done():
			return fmt.Errorf("the check %q does not return: %w", c.name, ctx.Err())
		}
	}
	return nil
}

func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(end)/2)
	}
	return context.WithCancel(ctx)
}
