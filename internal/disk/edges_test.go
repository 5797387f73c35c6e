package disk

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestFreeIsLookedUpOnceASecond: many callers cost one look, and what they see is at most a second old.
func TestFreeIsLookedUpOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, free, held := 0, uint64(10<<30), uint64(5)
		s := New(Options{Free: func() uint64 { looks++; return free }, Unflushed: func() uint64 { return held }})
		for range 100 {
			if s.Free() != 10<<30 || s.Needed() != Margin+5 {
				t.Fatalf("%d free, %d needed", s.Free(), s.Needed())
			}
		}
		if looks != 1 {
			t.Errorf("%d looks", looks)
		}
		free, held = 7, 9
		time.Sleep(CheckEvery - 1)
		if s.Free() != 10<<30 || s.Short() {
			t.Errorf("looked again too soon: %d", s.Free())
		}
		time.Sleep(1 * time.Nanosecond)
		if s.Free() != 7 || s.Needed() != Margin+9 || !s.Short() || looks != 2 {
			t.Errorf("%d free, %d needed, %d looks", s.Free(), s.Needed(), looks)
		}
	})
}

// TestUsage: the disk of the operating system answers for a directory, and a path that is none has plenty, so that a
// node does not refuse everything because of it.
func TestUsage(t *testing.T) {
	free, total, err := Usage(t.TempDir())
	if err != nil || free == 0 || free > total {
		t.Errorf("%d of %d bytes, %v", free, total, err)
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if _, _, err := Usage(nowhere); err == nil {
		t.Error("a directory that is not there has space")
	}
	none := func() uint64 { return 0 }
	if got := New(Options{Dir: nowhere, Unflushed: none}).Free(); got != plenty {
		t.Errorf("%d bytes", got)
	}
	if got := New(Options{Dir: t.TempDir(), Unflushed: none}).Free(); got == 0 || got == plenty {
		t.Errorf("%d bytes", got)
	}
}

// TestGivenBack: the ballast goes at the watermark and not above it, and one that is not there is no error.
func TestGivenBack(t *testing.T) {
	free := uint64(ballastFreed)
	s := New(Options{Dir: t.TempDir(), Ballast: 1000, Free: func() uint64 { return free },
		Unflushed: func() uint64 { return 0 }, Logger: slog.New(slog.DiscardHandler)})
	if got := s.BallastMissing(); got != 1000 {
		t.Errorf("%d bytes are missing, none is there", got)
	}
	if err := os.WriteFile(s.ballastPath(), make([]byte, 600), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.BallastMissing(); got != 400 {
		t.Errorf("%d bytes are missing of a half", got)
	}
	if err := s.FreeBallast(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.ballastPath()); err != nil {
		t.Errorf("given back at %d bytes: %v", free, err)
	}
	free--
	for range 2 {
		if err := s.FreeBallast(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.ballastPath()); !os.IsNotExist(err) {
			t.Errorf("kept at %d bytes: %v", free, err)
		}
	}
	if err := os.WriteFile(s.ballastPath(), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.BallastMissing(); got != 0 {
		t.Errorf("%d bytes are missing, more than enough are there", got)
	}
}

// TestBallastThatCannotBeGivenBack: the error reaches the caller. A directory in its place stands for a bad disk.
func TestBallastThatCannotBeGivenBack(t *testing.T) {
	s := New(Options{Dir: t.TempDir(), Ballast: 1000, Free: func() uint64 { return 0 },
		Unflushed: func() uint64 { return 0 }, Logger: slog.New(slog.DiscardHandler)})
	if err := os.MkdirAll(filepath.Join(s.ballastPath(), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.FreeBallast(); err == nil {
		t.Error("no error")
	}
	s.makeBallast() // leaves what it cannot write alone
	if _, err := os.Stat(filepath.Join(s.ballastPath(), "x")); err != nil {
		t.Error(err)
	}
}

// TestReserve: what a node asks for, at most a fiftieth of the disk.
func TestReserve(t *testing.T) {
	for _, c := range []struct {
		asked       int64
		total, want uint64
	}{
		{1 << 30, 50 << 30, 1 << 30}, {1 << 30, 50<<30 - 1, 1<<30 - 1}, {0, 1 << 40, 0}, {-5, 1 << 40, 0}, {10, 0, 0},
	} {
		if got := Reserve(c.asked, c.total); got != c.want {
			t.Errorf("%d of %d: %d, want %d", c.asked, c.total, got, c.want)
		}
	}
}
