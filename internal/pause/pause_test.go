package pause

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestFor: a pause lasts as long as it should, and ends with its context.
func TestFor(t *testing.T) {
	begin := time.Now()
	if err := For(t.Context(), 20*time.Millisecond); err != nil || time.Since(begin) < 20*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := For(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends: %v", err)
	}
	if err := For(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	for range 100 {
		if err := For(ended, 0); !errors.Is(err, context.Canceled) {
			t.Fatalf("a pause of no length, in a context that has ended: %v", err)
		}
	}
	late, cancel := context.WithDeadline(t.Context(), begin)
	defer cancel()
	if err := For(late, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: %v", err)
	}
}
