package log

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

func TestReadErrorIsFatal(t *testing.T) {
	var on atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
		if on.Load() && strings.HasSuffix(o.Path, ".sst") {
			return errors.New("injected")
		}
		return nil
	}))
	s, f := openMem(t, fs, Options{TailBytes: 1})
	must(t, s.StoreLogs(entries(1, 50, 1, 1000)))
	must(t, s.db.Flush())
	on.Store(true)
	if err := s.GetLog(20, new(raft.Log)); err == nil || errors.Is(err, raft.ErrLogNotFound) || f.count() != 1 {
		t.Fatalf("%v, fatal %v", err, f.first())
	}
}

// TestBadBlockIsCorruption: who is told of the end learns that an entry cannot be read, whatever found it first.
func TestBadBlockIsCorruption(t *testing.T) {
	dir := t.TempDir()
	options := Options{FS: vfs.Default, MemTableBytes: 256 << 10, TailBytes: 1}
	s, err := Open(dir, options)
	must(t, err)
	for i := range 64 {
		must(t, s.StoreLogs(entries(uint64(1+i*16), 16, 1, 1000)))
	}
	must(t, s.db.Flush())
	must(t, s.Close())
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	must(t, err)
	for _, path := range tables {
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(b)/4] ^= 1
		must(t, os.WriteFile(path, b, 0o600))
	}
	f := &fatals{}
	options.Fatal = f.add
	s, err = Open(dir, options)
	for i := uint64(1); err == nil && i <= 64*16; i++ {
		err = s.GetLog(i, new(raft.Log))
	}
	if err == nil || !errors.Is(f.first(), ErrCorrupt) {
		t.Errorf("a read of %d tables with a bad block: %v, fatal: %v", len(tables), err, f.first())
	}
}

func TestHoleIsFatal(t *testing.T) {
	for _, index := range []uint64{4, 5} {
		fs := vfs.NewMem()
		s, _ := openMem(t, fs, Options{})
		must(t, s.StoreLogs(entries(1, 9, 1, 0)))
		must(t, s.db.Delete(key(5), nil))
		must(t, s.Close())
		s, f := openMem(t, fs, Options{})
		s.CommittedTo(9)
		if _, err := s.Read(index, 1<<20, func(Entry) error { return nil }); !errors.Is(err, ErrGap) || !errors.Is(f.first(), ErrGap) {
			t.Fatalf("%v, fatal %v", err, f.first())
		}
	}
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 9, 1, 0)))
	must(t, s.db.Delete(key(1), nil))
	must(t, s.Close())
	if _, err := Open("node/events", Options{FS: fs}); !errors.Is(err, ErrGap) {
		t.Fatalf("opened a log without its start: %v", err)
	}
}

func TestReadAhead(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 500, 1, 100)))
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	checkRange(t, s, 1, 500, func(i uint64) *raft.Log { return entries(i, 1, 1, 100)[0] })
	if m := s.Metrics(); m.Misses > 10 || m.AheadHits < 480 {
		t.Fatalf("misses %d, hits %d", m.Misses, m.AheadHits)
	}
	must(t, s.DeleteRange(400, 500))
	must(t, s.StoreLogs(entries(400, 101, 2, 100)))
	checkRange(t, s, 400, 500, func(i uint64) *raft.Log { return entries(i, 1, 2, 100)[0] })
	must(t, s.Close())
}

func TestTailIsBounded(t *testing.T) {
	s, _ := openMem(t, vfs.NewMem(), Options{TailBytes: 10_000})
	for i := range uint64(300) {
		must(t, s.StoreLogs(entries(i+1, 1, 1, 1000)))
		if m := s.Metrics(); m.TailBytes > 10_000 || len(s.tail.recs) > 200 {
			t.Fatalf("%d bytes, %d records", m.TailBytes, len(s.tail.recs))
		}
	}
	if m := s.Metrics(); m.TailEntries < 8 || m.Batches != 300 || m.PayloadBytes != 300_000 || m.DiskBytes == 0 {
		t.Fatalf("%+v", m)
	}
	must(t, s.Close())
}

func TestCommittedReader(t *testing.T) {
	s, f := openMem(t, vfs.NewMem(), Options{})
	must(t, s.StoreLogs(entries(1, 5, 1, 0)))
	if _, err := s.Entry(2); !errors.Is(err, ErrNotCommitted) {
		t.Fatal(err)
	}
	if next, err := s.Read(1, 1<<20, func(Entry) error { return nil }); next != 1 || err != nil {
		t.Fatal(next, err)
	}
	s.CommittedTo(3)
	s.CommittedTo(2)
	if e, err := s.Entry(3); err != nil || e.Index != 3 {
		t.Fatal(e, err)
	}
	for i, want := range map[uint64]error{0: ErrNotFound, 4: ErrNotCommitted, 6: ErrNotFound} {
		if _, err := s.Entry(i); !errors.Is(err, want) {
			t.Fatal(i, err)
		}
	}
	stop := errors.New("stop")
	next, err := s.Read(1, 1<<20, func(e Entry) error {
		if e.Index == 2 {
			return stop
		}
		return nil
	})
	if next != 2 || err != stop {
		t.Fatal(next, err)
	}
	s.CommittedTo(6)
	if !errors.Is(f.first(), ErrGap) {
		t.Fatalf("a commit beyond the log: %v", f.first())
	}
}

func TestWait(t *testing.T) {
	s, _ := openMem(t, vfs.NewMem(), Options{})
	must(t, s.StoreLogs(entries(1, 50, 1, 0)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for at := uint64(0); at < 50; {
				got, err := s.Wait(context.Background(), at)
				if err != nil || got <= at {
					t.Errorf("wait after %d: %d %v", at, got, err)
					return
				}
				at = got
			}
		})
	}
	for i := range uint64(50) {
		s.CommittedTo(i + 1)
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Wait(ctx, 50); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	errc := make(chan error)
	go func() {
		_, err := s.Wait(context.Background(), 50)
		errc <- err
	}()
	must(t, s.Close())
	if err := <-errc; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestFloorSurvives: the floor in the headers is what was committed before the entry was stored.
func TestFloorSurvives(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 5, 1, 0)))
	commit := uint64(4)
	s.SetCommitSource(func() uint64 { return commit })
	must(t, s.StoreLogs(entries(6, 1, 1, 0)))
	commit = 100 // nonsense is clamped to the end of the log
	must(t, s.StoreLogs(entries(7, 2, 1, 0)))
	commit = 0 // after a restart Raft starts again at zero
	must(t, s.StoreLogs(entries(9, 1, 1, 0)))
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	if s.Floor() != 6 || s.Committed() != 6 {
		t.Fatalf("floor %d committed %d", s.Floor(), s.Committed())
	}
	must(t, s.Close())
}
