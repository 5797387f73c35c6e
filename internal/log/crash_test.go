package log

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/test/crashfs"
)

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

// ack has the entries that the writer knew to be durable at some moment, by their terms, without those being cut. A term
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
