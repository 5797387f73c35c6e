package node

import (
	"context"
	"fmt"
)

// Alive returns nil when every check of readiness answers before ctx ends, whatever it answers. A node that is not
// ready is well. A check that does not return shows that a part of the node waits for a lock or a channel that nobody
// serves.
func Alive(ctx context.Context, n *Node) error { return answer(ctx, n.readiness()) }

// answer runs the checks beside the caller, because one that hangs must not take the caller with it.
func answer(ctx context.Context, checks []check) error {
	returned := make(chan string, len(checks))
	go func() {
		for _, c := range checks {
			_ = c.err(ctx)
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
