package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestBallast: it is made when there is room, counts as taken while it is missing, and is given back on a full disk.
func TestBallast(t *testing.T) {
	const size = 1 << 20
	var free atomic.Uint64
	n := &Node{cfg: Config{Dir: t.TempDir(), Ballast: size, DiskFree: free.Load}, log: slog.New(slog.DiscardHandler)}
	free.Store(diskMargin + size/2)
	if !n.diskShort() {
		t.Error("what the ballast needs counts as free")
	}
	probe, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if err := allocate(probe, size); err != nil {
		t.Skipf("this file system cannot take room ahead: %v", err)
	}
	free.Store(100 << 30)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.keepBallast(ctx) }()
	await := func(there bool) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
			st, err := os.Stat(n.ballastPath())
			if there && err == nil && st.Size() == size || !there && errors.Is(err, os.ErrNotExist) {
				return
			}
		}
		t.Fatalf("the ballast is there: %v", !there)
	}
	await(true)
	if n.ballastMissing() != 0 {
		t.Error("the ballast is not whole")
	}
	free.Store(1)
	await(false)
	cancel()
	<-ended
}
