package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/test/crashfs"
)

// openCopy opens a copy of a log that a test made.
func openCopy(t *testing.T, fs vfs.FS, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{FS: fs, Fatal: func(error) {}, MemTableBytes: 256 << 10, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatalf("open the copy %s: %v", dir, err)
	}
	return s
}

func trim(t *testing.T, fs vfs.FS, dir string, index uint64) {
	t.Helper()
	must(t, Trim(dir, index, Options{FS: fs, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}))
}

// TestCheckpointWhileWriting takes copies of a log that is written to, and whose end is cut now and then. Its
// write-ahead logs are small and reused. Every copy opens, has all committed entries, and ends where Trim cuts it.
func TestCheckpointWhileWriting(t *testing.T) {
	fs := vfs.NewMem()
	s, fatal := openMem(t, fs, Options{MemTableBytes: 64 << 10})
	var terms [4001]atomic.Uint64
	var commit atomic.Uint64
	stop, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		writeAndCut(t, s, &terms, &commit, stop)
	}()
	made := 0
	for made < 25 {
		c := commit.Load()
		if c == 0 {
			continue
		}
		s.CommittedTo(c)
		dir := fmt.Sprintf("node/copies/%d", made)
		must(t, s.Checkpoint(context.Background(), dir, c))
		checkCopy(t, fs, dir, c, &terms)
		made++
	}
	close(stop)
	<-written
	must(t, s.Close())
	if fatal.count() > 0 {
		t.Fatal(fatal.first())
	}
}

// writeAndCut writes, commits and cuts until it is stopped. terms has the terms of committed entries.
func writeAndCut(t *testing.T, s *Store, terms *[4001]atomic.Uint64, commit *atomic.Uint64, stop chan struct{}) {
	rng, term, last := rand.New(rand.NewPCG(5, 6)), uint64(1), uint64(0)
	for {
		select {
		case <-stop:
			return
		default:
		}
		if c := commit.Load(); last > c && (rng.IntN(6) == 0 || last > 3990) {
			if err := s.DeleteRange(c+1, last); err != nil {
				t.Error(err)
				return
			}
			last, term = c, term+1
			continue
		}
		n := 1 + rng.IntN(4)
		if err := s.StoreLogs(entries(last+1, n, term, rng.IntN(9000))); err != nil {
			t.Error(err)
			return
		}
		for i := last + 1; i <= last+uint64(n); i++ {
			terms[i].Store(term)
		}
		if last += uint64(n); rng.IntN(3) == 0 && last < 3900 {
			commit.Store(last)
		}
	}
}

func checkCopy(t *testing.T, fs vfs.FS, dir string, c uint64, terms *[4001]atomic.Uint64) {
	t.Helper()
	trim(t, fs, dir, c)
	for _, to := range []uint64{c, (c + 1) / 2} {
		trim(t, fs, dir, to)
		s := openCopy(t, fs, dir)
		if last, _ := s.LastIndex(); last != to || s.bound.at.index != to {
			t.Fatalf("%s: ends at %d with the bound %d, want %d", dir, last, s.bound.at.index, to)
		}
		for i := uint64(1); i <= to; i++ {
			var l raft.Log
			must(t, s.GetLog(i, &l))
			if l.Term != terms[i].Load() || !sameLog(&l, entries(i, 1, l.Term, len(l.Data))[0]) {
				t.Fatalf("%s: entry %d of term %d, want term %d", dir, i, l.Term, terms[i].Load())
			}
		}
		must(t, s.StoreLogs(entries(to+1, 2, 1<<40, 10)))
		must(t, s.Close())
		trim(t, fs, dir, to)
	}
}

// TestCheckpointOfWhat: only committed entries can be what a copy is good for, and a copy never replaces another.
func TestCheckpointOfWhat(t *testing.T) {
	fs := vfs.NewMem()
	s, fatal := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 9, 1, 100)))
	s.CommittedTo(6)
	ctx := context.Background()
	for index, want := range map[uint64]error{0: ErrNotFound, 7: ErrNotCommitted, 10: ErrNotFound} {
		if err := s.Checkpoint(ctx, "node/copy", index); !errors.Is(err, want) {
			t.Errorf("copy at %d: %v", index, err)
		}
	}
	must(t, s.Checkpoint(ctx, "node/copy", 6))
	if err := s.Checkpoint(ctx, "node/copy", 6); err == nil {
		t.Error("a copy was made over another one")
	}
	for _, index := range []uint64{0, 10} {
		if err := Trim("node/copy", index, Options{FS: fs}); !errors.Is(err, ErrNotFound) {
			t.Errorf("cut at %d: %v", index, err)
		}
	}
	if err := Trim("node/other", 1, Options{FS: fs}); err == nil {
		t.Error("a log that is not there was cut")
	}
	must(t, s.Close())
	if err := s.Checkpoint(ctx, "node/late", 6); !errors.Is(err, ErrClosed) || fatal.count() > 0 {
		t.Errorf("copy of a closed log: %v, %v", err, fatal.first())
	}
}

// TestCheckpointLinksTables: what is in tables is not copied again.
func TestCheckpointLinksTables(t *testing.T) {
	fs := &linkCounter{FS: vfs.NewMem()}
	s, _ := openMem(t, fs, Options{MemTableBytes: 128 << 10})
	for i := range uint64(100) {
		must(t, s.StoreLogs(entries(i+1, 1, 1, 8000)))
	}
	s.CommittedTo(100)
	must(t, s.Checkpoint(context.Background(), "node/copy", 100))
	names, err := s.tables()
	must(t, err)
	if len(names) < 3 || int(fs.n.Load()) != len(names) {
		t.Errorf("%d tables, %d links", len(names), fs.n.Load())
	}
	must(t, s.Close())
}

type linkCounter struct {
	vfs.FS
	n atomic.Int64
}

func (l *linkCounter) Link(from, to string) error {
	l.n.Add(1)
	return l.FS.Link(from, to)
}

// TestPowerCutsDuringCopies cuts the power while copies are made and cut. A copy is whole or is refused, and the log
// itself loses nothing.
func TestPowerCutsDuringCopies(t *testing.T) {
	opened := map[bool]int{}
	for seed := range uint64(20) {
		fs := crashfs.New()
		s, _ := openMem(t, fs, Options{MemTableBytes: 64 << 10})
		must(t, s.StoreLogs(entries(1, 40, 1, 3000)))
		s.CommittedTo(30)
		var shots []crashfs.FS
		done := make(chan error)
		go func() {
			err := s.Checkpoint(context.Background(), "node/copy", 30)
			done <- errors.Join(err, Trim("node/copy", 25, Options{FS: fs, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}))
		}()
		rng := rand.New(rand.NewPCG(seed, 9))
		for ended := false; !ended; {
			select {
			case err := <-done:
				must(t, err)
				ended = true
			default:
			}
			percent := []int{0, 50, 100}[rng.IntN(3)]
			shots = append(shots, fs.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		must(t, s.Close())
		for i, shot := range shots {
			opened[copyAfterCut(t, shot, i == len(shots)-1)]++
		}
	}
	if opened[true] < 20 || opened[false] < 5 {
		t.Errorf("copies that opened after a cut, and others: %v", opened)
	}
}

func copyAfterCut(t *testing.T, fs crashfs.FS, finished bool) (opened bool) {
	t.Helper()
	s, _ := openMem(t, fs, Options{})
	if last, _ := s.LastIndex(); last != 40 {
		t.Fatalf("the log has %d entries after a copy", last)
	}
	must(t, s.Close())
	err := Trim("node/copy", 25, Options{FS: fs, MemTableBytes: 256 << 10, CacheBytes: 1 << 20})
	if err != nil {
		if finished || !errors.Is(err, ErrCorrupt) && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("finished %v: %v", finished, err)
		}
		return false
	}
	c := openCopy(t, fs, "node/copy")
	if last, _ := c.LastIndex(); last != 25 {
		t.Fatalf("the copy has %d entries", last)
	}
	checkRange(t, c, 1, 25, func(i uint64) *raft.Log { return entries(i, 1, 1, 3000)[0] })
	must(t, c.Close())
	return true
}
