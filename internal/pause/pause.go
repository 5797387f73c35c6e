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

// For returns nil after d, or the error of ctx if ctx has ended by then.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() // both may have come
	case <-ctx.Done():
		return ctx.Err()
	}
}
