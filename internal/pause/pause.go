// Package pause waits for some time, or for the end of a context, whichever comes first. A loop that tries again, or looks
// every so often, pauses between two rounds and ends with its context:
//
//	for pause.For(ctx, time.Second) == nil {
//		look()
//	}
package pause

import (
	"context"
	"time"
)

// For returns nil after d, or the error of ctx if ctx ends before.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
