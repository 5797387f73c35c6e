package log

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/test/crashfs"
)

func TestStoreRoundTripAndReopen(t *testing.T) {
	fs := vfs.NewMem()
	s, f := openMem(t, fs, Options{})
	logs := entries(1, 5, 1, 20)
	logs[0].Type, logs[1].Type = raft.LogConfiguration, raft.LogNoop
	logs[1].Data, logs[2].Extensions = nil, []byte("ext")
	logs[3].AppendedAt = time.Unix(0, 1234567890)
	must(t, s.StoreLogs(logs[:2]))
	must(t, s.StoreLog(logs[2]))
	must(t, s.StoreLogs(logs[3:]))
	want := func(i uint64) *raft.Log { return logs[i-1] }
	checkRange(t, s, 1, 5, want)
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	checkRange(t, s, 1, 5, want)
	for _, i := range []uint64{0, 6, 1 << 63} {
		if err := s.GetLog(i, new(raft.Log)); err != raft.ErrLogNotFound {
			t.Fatalf("GetLog(%d) = %v", i, err)
		}
	}
	must(t, s.Close())
	if err := s.StoreLog(entries(6, 1, 1, 0)[0]); !errors.Is(err, ErrClosed) {
		t.Fatalf("store after close: %v", err)
	}
	if f.count() != 0 {
		t.Fatalf("fatal: %v", f.first())
	}
}

func TestNotOtherInterfaces(t *testing.T) {
	var s any = new(Store)
	if _, ok := s.(raft.MonotonicLogStore); ok {
		t.Fatal("the store must not be a MonotonicLogStore")
	}
	if _, ok := s.(interface{ GetCommitIndex() (uint64, error) }); ok {
		t.Fatal("the store must not be a CommitTrackingLogStore")
	}
}

func TestOneSyncPerStore(t *testing.T) {
	s, _ := openMem(t, crashfs.New(), Options{MemTableBytes: 64 << 20})
	next := uint64(1)
	for _, n := range []int{1, 1, 4, 64, 1, 17} {
		before := s.Syncs()
		must(t, s.StoreLogs(entries(next, n, 1, 1000)))
		if got := s.Syncs() - before; got != 1 {
			t.Fatalf("%d entries took %d fsyncs", n, got)
		}
		next += uint64(n)
	}
	if s.Packs() != 6 || s.Syncs() != 6 {
		t.Fatalf("packs %d syncs %d", s.Packs(), s.Syncs())
	}
	must(t, s.Close())
}

func TestGapIsFatal(t *testing.T) {
	for name, logs := range map[string][]*raft.Log{
		"skip":   entries(5, 1, 1, 0),
		"repeat": entries(3, 1, 1, 0),
		"inside": append(entries(4, 1, 1, 0), entries(6, 1, 1, 0)...),
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, f := openMem(t, fs, Options{})
			must(t, s.StoreLogs(entries(1, 3, 1, 0)))
			if err := s.StoreLogs(logs); !errors.Is(err, ErrGap) || !errors.Is(f.first(), ErrGap) {
				t.Fatalf("got %v, fatal %v", err, f.first())
			}
			if last, _ := s.LastIndex(); last != 3 {
				t.Fatalf("last %d", last)
			}
			if err := s.StoreLogs(entries(4, 1, 1, 0)); !errors.Is(err, ErrFailed) {
				t.Fatalf("a failed store accepted entries: %v", err)
			}
			if _, err := s.Wait(t.Context(), 3); !errors.Is(err, ErrFailed) {
				t.Fatalf("wait on a failed store: %v", err)
			}
		})
	}
}

func TestDeleteRangeGuard(t *testing.T) {
	cases := []struct {
		lo, hi uint64
		ok     bool
	}{{7, 10, true}, {10, 10, true}, {6, 10, false}, {1, 10, false}, {1, 3, false}, {7, 9, false}, {7, 11, false}, {0, 10, false}, {10, 9, false}, {11, 11, false}}
	sources := map[string]func(s *Store){
		"published": func(s *Store) { s.CommittedTo(6) },
		"raft":      func(s *Store) { s.SetCommitSource(func() uint64 { return 6 }) },
		"header": func(s *Store) {
			s.mu.Lock()
			s.floor = 6
			s.mu.Unlock()
		},
	}
	for name, set := range sources {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s/%d-%d", name, c.lo, c.hi), func(t *testing.T) {
				s, f := openMem(t, vfs.NewMem(), Options{})
				must(t, s.StoreLogs(entries(1, 10, 1, 0)))
				set(s)
				err := s.DeleteRange(c.lo, c.hi)
				last, _ := s.LastIndex()
				if c.ok && (err != nil || f.count() != 0 || last != c.lo-1) {
					t.Fatalf("refused: %v, last %d", err, last)
				}
				if !c.ok && (!errors.Is(err, ErrRefusedDelete) || !errors.Is(f.first(), ErrRefusedDelete) || last != 10) {
					t.Fatalf("got %v, fatal %v, last %d", err, f.first(), last)
				}
			})
		}
	}
}

func TestDeleteAllWhenNothingIsCommitted(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 3, 1, 0)))
	must(t, s.DeleteRange(1, 3))
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 0 || last != 0 {
		t.Fatalf("%d..%d", first, last)
	}
	must(t, s.StoreLogs(entries(1, 2, 2, 0)))
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	checkRange(t, s, 1, 2, func(i uint64) *raft.Log { return entries(i, 1, 2, 0)[0] })
	must(t, s.Close())
}

func TestStoreStarted(t *testing.T) {
	inSync, release := make(chan struct{}), make(chan struct{})
	var on atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
		sync := o.Kind == errorfs.OpFileSync || o.Kind == errorfs.OpFileSyncData || o.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(o.Path, ".log") && on.CompareAndSwap(true, false) {
			close(inSync)
			<-release
		}
		return nil
	}))
	s, _ := openMem(t, fs, Options{})
	if _, busy := s.StoreStarted(); busy {
		t.Fatal("busy while idle")
	}
	on.Store(true)
	errc := make(chan error)
	go func() { errc <- s.StoreLogs(entries(1, 1, 1, 0)) }()
	<-inSync
	since, busy := s.StoreStarted()
	if !busy || time.Since(since) < 0 {
		t.Fatal("not busy during an fsync")
	}
	if last, _ := s.LastIndex(); last != 0 || s.GetLog(1, new(raft.Log)) != raft.ErrLogNotFound {
		t.Fatal("an entry is visible before its fsync")
	}
	close(release)
	must(t, <-errc)
	must(t, s.Close())
}
