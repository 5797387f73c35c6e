package log

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestCommittedAt: a statement of the leader publishes an entry only if this node holds that very entry.
func TestCommittedAt(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(t *testing.T, s *Store)
		want  uint64
	}{
		{"an entry that is here", func(t *testing.T, s *Store) { s.CommittedAt(3, 5) }, 3},
		{"an entry of another term", func(t *testing.T, s *Store) { s.CommittedAt(3, 6) }, 0},
		{"an entry that comes later", func(t *testing.T, s *Store) {
			s.CommittedAt(6, 5)
			must(t, s.StoreLogs(entries(5, 3, 5, 10)))
		}, 6},
		{"an entry that has not come", func(t *testing.T, s *Store) {
			s.CommittedAt(7, 5)
			must(t, s.StoreLogs(entries(5, 2, 5, 10)))
		}, 0},
		{"another entry comes", func(t *testing.T, s *Store) {
			s.CommittedAt(6, 6)
			must(t, s.StoreLogs(entries(5, 3, 5, 10)))
		}, 0},
		{"another entry comes, is cut, and the promised one comes without a word", func(t *testing.T, s *Store) {
			s.CommittedAt(6, 6)
			must(t, s.StoreLogs(entries(5, 3, 5, 10)))
			must(t, s.DeleteRange(5, 7))
			must(t, s.StoreLogs(entries(5, 3, 6, 10)))
		}, 0},
		{"a stale suffix is cut before the promised entry comes", func(t *testing.T, s *Store) {
			s.CommittedAt(6, 6)
			must(t, s.DeleteRange(3, 4))
			must(t, s.StoreLogs(entries(3, 5, 6, 10)))
		}, 6},
		{"a stale suffix covers the index", func(t *testing.T, s *Store) {
			s.CommittedAt(4, 6)
			must(t, s.DeleteRange(3, 4))
			must(t, s.StoreLogs(entries(3, 1, 6, 10)))
		}, 0},
		{"the later of two is remembered", func(t *testing.T, s *Store) {
			s.CommittedAt(7, 5)
			s.CommittedAt(5, 5)
			must(t, s.StoreLogs(entries(5, 1, 5, 10)))
		}, 0},
		{"an earlier one is published while a later one waits", func(t *testing.T, s *Store) {
			s.CommittedAt(7, 5)
			s.CommittedAt(2, 5)
		}, 2},
		{"the past", func(t *testing.T, s *Store) {
			s.CommittedTo(4)
			s.CommittedAt(2, 5)
		}, 4},
		{"nothing", func(t *testing.T, s *Store) { s.CommittedAt(0, 0) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := openMem(t, vfs.NewMem(), Options{})
			defer s.Close()
			must(t, s.StoreLogs(entries(1, 4, 5, 10)))
			c.steps(t, s)
			if got := s.Committed(); got != c.want || f.count() != 0 {
				t.Errorf("committed %d, want %d; failed: %v", got, c.want, f.first())
			}
		})
	}
}

// TestPromiseWakesReaders: who waits for an entry sees it when it arrives after the promise.
func TestPromiseWakesReaders(t *testing.T) {
	s, _ := openMem(t, vfs.NewMem(), Options{})
	defer s.Close()
	got := make(chan uint64)
	go func() {
		committed, _ := s.Wait(context.Background(), 0)
		got <- committed
	}()
	s.CommittedAt(2, 1)
	must(t, s.StoreLogs(entries(1, 3, 1, 10)))
	if committed := <-got; committed != 2 {
		t.Errorf("the reader woke at %d, want 2", committed)
	}
}

// TestPromisedIsKept: what was published by a promise is never deleted, and the next append makes it durable.
func TestPromisedIsKept(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 4, 5, 10)))
	s.CommittedAt(3, 5)
	must(t, s.StoreLogs(entries(5, 1, 5, 10)))
	must(t, s.Close())
	s, f := openMem(t, fs, Options{})
	if got := s.Committed(); got != 3 {
		t.Errorf("committed after a restart: %d, want 3", got)
	}
	if err := s.DeleteRange(3, 5); err == nil || f.count() != 1 {
		t.Errorf("a promised entry was deleted: %v", err)
	}
}

// TestPromisesModel compares random statements, appends and cuts with a model that knows the whole history. The
// true log only grows. A node holds a prefix of it, perhaps with a suffix of its own that was never committed.
func TestPromisesModel(t *testing.T) {
	for seed := range uint64(200) {
		promisesOnce(t, rand.New(rand.NewPCG(seed, 1)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func promisesOnce(t *testing.T, rng *rand.Rand) {
	s, f := openMem(t, vfs.NewMem(), Options{})
	defer s.Close()
	var truth []*raft.Log // committed
	held, stale := 0, 0   // entries of truth that the node holds, and entries behind them that differ
	term := uint64(1)
	for range 60 {
		switch rng.IntN(5) {
		case 0: // a new leader commits
			term += uint64(1 + rng.IntN(2))
			truth = append(truth, entries(uint64(len(truth))+1, 1+rng.IntN(3), term, 5)...)
		case 1: // the node follows
			if held == len(truth) {
				continue
			}
			if stale > 0 {
				must(t, s.DeleteRange(uint64(held)+1, uint64(held+stale)))
				stale = 0
			}
			n := 1 + rng.IntN(len(truth)-held)
			must(t, s.StoreLogs(truth[held:held+n]))
			held += n
		case 2: // a leader that loses its term writes here only
			if stale == 0 && held == len(truth) {
				term++
				stale = 1 + rng.IntN(3)
				must(t, s.StoreLogs(entries(uint64(held)+1, stale, term, 5)))
			}
		default: // an answer of a leader arrives, perhaps late
			if len(truth) > 0 {
				l := truth[rng.IntN(len(truth))]
				s.CommittedAt(l.Index, l.Term)
			}
		}
		if got := s.Committed(); got > uint64(held) || f.count() != 0 {
			t.Errorf("committed %d, but only %d entries here are: %v", got, held, f.first())
			return
		}
	}
}
