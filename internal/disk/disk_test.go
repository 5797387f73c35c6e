package disk

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
	s := New(Options{Dir: t.TempDir(), Ballast: size, Free: free.Load, Unflushed: func() uint64 { return 0 },
		Logger: slog.New(slog.DiscardHandler)})
	free.Store(Margin + size/2)
	if !s.Short() {
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
	go func() { ended <- s.Run(ctx) }()
	await := func(there bool) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
			st, err := os.Stat(s.ballastPath())
			if there && err == nil && st.Size() == size || !there && errors.Is(err, os.ErrNotExist) {
				return
			}
		}
		t.Fatalf("the ballast is there: %v", !there)
	}
	await(true)
	if s.BallastMissing() != 0 {
		t.Error("the ballast is not whole")
	}
	free.Store(1)
	await(false)
	cancel()
	<-ended
}

// TestWatermarks: what the stores have in memory counts as taken, and a node that was short leads again only
// when there is clearly more room.
func TestWatermarks(t *testing.T) {
	const held = 1 << 20
	var free uint64
	s := New(Options{Dir: t.TempDir(), Free: func() uint64 { return free }, Unflushed: func() uint64 { return held }})
	for _, c := range []struct {
		free         uint64
		short, unfit bool
	}{
		{Margin + held, false, false},
		{Margin + held - 1, true, true},
		{Margin + held, false, true},
		{Margin + held + roomAgain - 1, false, true},
		{Margin + held + roomAgain, false, false},
		{Margin + held, false, false},
	} {
		free = c.free
		s.at.Store(0) // as if a second had passed
		if short, unfit := s.Short(), s.Unfit(); short != c.short || unfit != c.unfit {
			t.Errorf("%d bytes free: short %v, unfit %v", c.free, short, unfit)
		}
	}
	if s.Needed() != Margin+held || s.PauseBelow() != pauseMargin+Margin+held {
		t.Errorf("needs %d, pauses below %d", s.Needed(), s.PauseBelow())
	}
}

// TestVirtualDirectory: one that is not on the disk has plenty of room and no ballast.
func TestVirtualDirectory(t *testing.T) {
	s := New(Options{Dir: t.TempDir(), Ballast: 1 << 20, Virtual: true, Unflushed: func() uint64 { return 0 }})
	if s.Free() != plenty || s.BallastMissing() != 0 || s.Short() || s.FreeBallast() != nil {
		t.Errorf("%d bytes free, %d missing", s.Free(), s.BallastMissing())
	}
	if Reserve(1<<30, 100<<30) != 1<<30 || Reserve(1<<30, 1<<30) != (1<<30)/ballastShare || Reserve(-1, 1<<30) != 0 {
		t.Error("the ballast is not at most a fiftieth of the disk")
	}
}
