package log

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/recount-ledger/recount/test/crashfs"
)

// fatals collects what a store reports as fatal.
type fatals struct {
	mu   sync.Mutex
	errs []error
}

func (f *fatals) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *fatals) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) == 0 {
		return nil
	}
	return f.errs[0]
}

func (f *fatals) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.errs)
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func openMem(t fataler, fs vfs.FS, o Options) (*Store, *fatals) {
	t.Helper()
	f := &fatals{}
	o.FS, o.Fatal = fs, f.add
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 256 << 10
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 1 << 20
	}
	s, err := Open("node/events", o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s, f
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func entries(from uint64, n int, term uint64, size int) []*raft.Log {
	out := make([]*raft.Log, n)
	for i := range out {
		data := make([]byte, max(size, 16))
		binary.BigEndian.PutUint64(data, from+uint64(i))
		binary.BigEndian.PutUint64(data[8:], term)
		out[i] = &raft.Log{Index: from + uint64(i), Term: term, Type: raft.LogCommand, Data: data}
	}
	return out
}

func sameLog(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func checkRange(t fataler, s *Store, from, to uint64, want func(uint64) *raft.Log) {
	t.Helper()
	for i := from; i <= to; i++ {
		var got raft.Log
		must(t, s.GetLog(i, &got))
		if w := want(i); !sameLog(&got, w) {
			t.Fatalf("entry %d: got %+v, want %+v", i, got, *w)
		}
	}
}

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

// TestModel compares the store with a map through appends, cuts, commits, reads and reopens.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		o := Options{TailBytes: rapid.SampledFrom([]int{1, 300, 5000, 1 << 20}).Draw(t, "tail"), MemTableBytes: 64 << 10}
		s, f := openMem(t, fs, o)
		model := map[uint64]*raft.Log{}
		var last, commit, published, term uint64 = 0, 0, 0, 1
		source := func() uint64 { return commit }
		s.SetCommitSource(source)
		t.Repeat(map[string]func(*rapid.T){
			"store": func(t *rapid.T) {
				logs := entries(last+1, rapid.IntRange(1, 9).Draw(t, "n"), term, rapid.IntRange(16, 3000).Draw(t, "size"))
				for _, l := range logs {
					model[l.Index] = l
				}
				must(t, s.StoreLogs(logs))
				last += uint64(len(logs))
			},
			"cut": func(t *rapid.T) {
				if commit == last {
					return
				}
				lo := rapid.Uint64Range(commit+1, last).Draw(t, "lo")
				must(t, s.DeleteRange(lo, last))
				for i := lo; i <= last; i++ {
					delete(model, i)
				}
				last, term = lo-1, term+1
			},
			"commit": func(t *rapid.T) {
				commit = rapid.Uint64Range(commit, last).Draw(t, "commit")
				if rapid.Bool().Draw(t, "publish") {
					published = max(published, commit)
					s.CommittedTo(commit)
				}
			},
			"reopen": func(t *rapid.T) {
				floor := s.Floor()
				must(t, s.Close())
				s, f = openMem(t, fs, o)
				s.SetCommitSource(source)
				published = s.Committed()
				if s.Floor() > min(commit, last) || s.Floor() > floor {
					t.Fatalf("floor %d, was %d, commit %d, last %d", s.Floor(), floor, commit, last)
				}
			},
			"get": func(t *rapid.T) {
				i := rapid.Uint64Range(0, last+2).Draw(t, "index")
				for range rapid.IntRange(1, 70).Draw(t, "run") {
					var got raft.Log
					err := s.GetLog(i, &got)
					if w := model[i]; (w == nil) != (err == raft.ErrLogNotFound) || (w != nil && !sameLog(&got, w)) {
						t.Fatalf("entry %d: %v %+v", i, err, got)
					}
					i++
				}
			},
			"read": func(t *rapid.T) {
				from := rapid.Uint64Range(1, last+2).Draw(t, "from")
				want := from
				next, err := s.Read(from, rapid.IntRange(0, 9000).Draw(t, "bytes"), func(e Entry) error {
					if e.Index != want || e.Index > published || !bytes.Equal(e.Data, model[want].Data) || e.Term != model[want].Term {
						t.Fatalf("read %d, want %d, committed %d", e.Index, want, published)
					}
					want++
					return nil
				})
				if err != nil || next != want || (from <= published && next == from) {
					t.Fatalf("read from %d: next %d, want %d: %v", from, next, want, err)
				}
			},
			"": func(t *rapid.T) {
				first, _ := s.FirstIndex()
				l, _ := s.LastIndex()
				if l != last || (first == 1) != (last > 0) || s.Committed() != published || s.Floor() > last || f.count() > 0 {
					t.Fatalf("%d..%d, want last %d; committed %d, want %d; fatal %v", first, l, last, s.Committed(), published, f.first())
				}
			},
		})
		must(t, s.Close())
	})
}

// TestPowerCuts takes the power at random moments of appends and cuts, and looks at what is left.
func TestPowerCuts(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		powerCut(t, rand.New(rand.NewPCG(uint64(seed), 1)))
	}
}

// ack is what the writer knew to be durable at some moment: the term of every entry, without those being cut. A term
// is never used again after a cut, so that equal terms in two moments mean that the entry was there in between.
type ack struct {
	terms []uint64
}

func powerCut(t *testing.T, rng *rand.Rand) {
	fs := crashfs.New()
	s, _ := openMem(t, fs, Options{MemTableBytes: 64 << 10})
	type shot struct {
		fs       crashfs.FS
		from, to *ack
	}
	var shots []shot
	var state atomic.Pointer[ack]
	state.Store(&ack{})
	stop, finished := make(chan struct{}), make(chan struct{})
	crng := rand.New(rand.NewPCG(rng.Uint64(), 2))
	go func() {
		defer close(finished)
		for len(shots) < 25 {
			select {
			case <-stop:
				return
			default:
			}
			from := state.Load()
			clone := fs.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[crng.IntN(3)], RNG: crng})
			shots = append(shots, shot{clone, from, state.Load()})
		}
	}()
	var commit uint64
	s.SetCommitSource(func() uint64 { return commit })
	terms, term := []uint64{}, uint64(1)
	for range 60 {
		commit += uint64(rng.IntN(len(terms) - int(commit) + 1))
		if n := uint64(len(terms)); commit < n && rng.IntN(4) == 0 {
			lo := commit + 1 + uint64(rng.IntN(int(n-commit)))
			terms, term = append([]uint64(nil), terms[:lo-1]...), term+1
			state.Store(&ack{terms})
			must(t, s.DeleteRange(lo, n))
			continue
		}
		n := 1 + rng.IntN(6)
		must(t, s.StoreLogs(entries(uint64(len(terms))+1, n, term, rng.IntN(4000))))
		terms = append([]uint64(nil), terms...)
		for range n {
			terms = append(terms, term)
		}
		state.Store(&ack{terms})
	}
	close(stop)
	<-finished
	must(t, s.Close())
	for _, sh := range shots {
		checkAfterCut(t, sh.fs, sh.from, sh.to)
	}
}

// checkAfterCut: everything acknowledged before the cut, and not deleted until after it, is there.
func checkAfterCut(t *testing.T, fs crashfs.FS, from, to *ack) {
	t.Helper()
	s, f := openMem(t, fs, Options{})
	last, _ := s.LastIndex()
	kept := 0
	for kept < len(from.terms) && kept < len(to.terms) && from.terms[kept] == to.terms[kept] {
		kept++
	}
	if last < uint64(kept) || s.Floor() > last {
		t.Fatalf("last %d floor %d, acknowledged %d", last, s.Floor(), kept)
	}
	var prev uint64
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		must(t, s.GetLog(i, &l))
		if l.Term < prev || binary.BigEndian.Uint64(l.Data) != i || binary.BigEndian.Uint64(l.Data[8:]) != l.Term {
			t.Fatalf("entry %d: term %d after %d", i, l.Term, prev)
		}
		if i <= uint64(kept) && l.Term != from.terms[i-1] {
			t.Fatalf("entry %d has term %d, acknowledged with %d", i, l.Term, from.terms[i-1])
		}
		prev = l.Term
	}
	must(t, s.StoreLogs(entries(last+1, 1, prev+1, 0)))
	if f.count() > 0 {
		t.Fatalf("fatal: %v", f.first())
	}
	must(t, s.Close())
}

// TestFaults injects write and sync errors into the write-ahead log: Fatal is called and nothing is acknowledged.
func TestFaults(t *testing.T) {
	for name, kinds := range map[string][]errorfs.OpKind{
		"write": {errorfs.OpFileWrite}, "sync": {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
	} {
		for _, op := range []string{"store", "delete"} {
			t.Run(name+"/"+op, func(t *testing.T) { faultOnce(t, kinds, op) })
		}
	}
}

func faultOnce(t *testing.T, kinds []errorfs.OpKind, op string) {
	mem := crashfs.New()
	var on atomic.Bool
	boom := errors.New("injected")
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if on.Load() && strings.HasSuffix(o.Path, ".log") {
			for _, k := range kinds {
				if o.Kind == k {
					return boom
				}
			}
		}
		return nil
	}))
	s, f := openMem(t, fs, Options{})
	must(t, s.StoreLogs(entries(1, 4, 1, 100)))
	on.Store(true)
	var err error
	if op == "store" {
		err = s.StoreLogs(entries(5, 3, 1, 100))
	} else {
		err = s.DeleteRange(3, 4)
	}
	if err == nil || f.count() != 1 {
		t.Fatalf("error %v, fatal called %d times", err, f.count())
	}
	if op == "store" {
		if last, _ := s.LastIndex(); last != 4 {
			t.Fatalf("acknowledged up to %d", last)
		}
	}
	if err := s.GetLog(1, new(raft.Log)); !errors.Is(err, ErrFailed) {
		t.Fatalf("failed store answered: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Fatalf("close: %v", err)
	}
	s2, _ := openMem(t, mem.Cut(vfs.CrashCloneCfg{}), Options{})
	checkRange(t, s2, 1, 2, func(i uint64) *raft.Log { return entries(i, 1, 1, 100)[0] })
	must(t, s2.Close())
}

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
