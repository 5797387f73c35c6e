package fsm

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/test/crashfs"
)

// never are bounds that no step reaches. Only readers and a close have it applied.
var never = bounds{events: 1 << 30, bytes: 1 << 40, millis: 1 << 30}

// flushAll writes everything that was folded to the disk.
func flushAll(s *Store) error { return errors.Join(s.Snapshot().Close(), s.db.Flush()) }

// stored reads the rows that Pebble has, without having anything applied. It waits for a step that is on its way.
func stored(t testing.TB, s *Store) map[string]string {
	t.Helper()
	s.step.mu.Lock()
	_ = s.awaitOut()
	s.step.mu.Unlock()
	v, out := &View{r: s.db, health: s.health}, map[string]string{}
	if err := v.Scan(nil, nil, false, func(k, v []byte) bool { out[string(k)] = string(v); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

// rowsBy folds a history one entry at a time and returns the rows after each of them, by entry, from 0.
func rowsBy(t *testing.T, logs []*raft.Log) (derived, generation []map[string]string) {
	t.Helper()
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	for to := range uint64(len(logs)) + 1 {
		m.foldTo(to)
		derived, generation = append(derived, rowsOf(t, m.derived.store)), append(generation, rowsOf(t, m.gen.store))
	}
	return derived, generation
}

// foldTo folds both states up to an entry.
func (m *machine) foldTo(to uint64) {
	m.t.Helper()
	m.log.CommittedTo(to)
	m.must(catchUp(m.t.Context(), m.derived, to))
	m.must(catchUp(m.t.Context(), m.gen, to))
}

// keepOpen sets the bounds of both steps. A window is open, as after an idle time.
func (m *machine) keepOpen(b bounds) {
	for _, s := range []*Store{m.derived.store, m.gen.store} {
		s.step.mu.Lock() // the end of a window reads the bounds, too
		s.step.bounds = b
		s.step.mu.Unlock()
	}
	m.must(errors.Join(m.derived.store.settle(false), m.gen.store.settle(false)))
}

// TestStepSizes: however many packs a step holds, and however many of them are read at once, the same rows are
// written and the digests are the same.
func TestStepSizes(t *testing.T) {
	logs := history(t, 5)
	derived, generation := rowsBy(t, logs)
	want, n := foldAll(t, logs, DefaultBatchBytes), uint64(len(logs))
	for i, size := range []uint64{1, 2, 7, 64, 1000} {
		for _, batch := range []int{1, DefaultBatchBytes}[:1+i%2] {
			t.Run(fmt.Sprintf("%d packs, %d bytes", size, batch), func(t *testing.T) {
				m := newMachine(t, vfs.NewMem(), batch)
				defer m.close()
				m.keepOpen(never)
				m.store(logs)
				for to := uint64(0); to < n; {
					before := to
					to = min(n, to+size)
					m.foldTo(to)
					if p, _ := projections.ReadPosition(&View{r: m.gen.store.db}); p.Index != before {
						t.Fatalf("entry %d: a step was applied before it was read", to)
					}
					if size < 7 && to%13 != 0 && to < n {
						m.must(errors.Join(m.derived.store.Snapshot().Close(), m.gen.store.Snapshot().Close()))
						continue
					}
					if !maps.Equal(rowsOf(t, m.derived.store), derived[to]) || !maps.Equal(rowsOf(t, m.gen.store), generation[to]) {
						t.Fatalf("entry %d: other rows than in steps of one entry", to)
					}
				}
				if got := m.state(); got != want {
					t.Errorf("%x, want %x", got, want)
				}
			})
		}
	}
}

// TestStepModel: whoever reads sees all whole batches and nothing else, at any moment of a batch, and a batch that is
// given up leaves no trace. A close loses nothing.
func TestStepModel(t *testing.T) {
	fs, rng := vfs.NewMem(), rand.New(rand.NewPCG(7, 9))
	open := func() *Store {
		s, err := OpenStore(fs, "s", quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.step.bounds = bounds{events: 40, bytes: 20_000, millis: 1 << 30}
		return s
	}
	s, gaveUp := open(), errors.New("given up")
	whole, now := map[string]string{}, map[string]string{}
	for i := range 5_000 {
		k := fmt.Appendf(nil, "%c%d", 'a'+rune(rng.IntN(3)), rng.IntN(60))
		v := make([]byte, rng.IntN(100))
		for j := range v {
			v[j] = byte(i + j)
		}
		var err error
		switch rng.IntN(16) {
		case 0:
			err = s.seal(rng.IntN(9), func(tx *txn) { tx.Set([]byte("p"), v) })
			now["p"] = string(v)
			whole = maps.Clone(now)
			err = errors.Join(err, s.settle(rng.IntN(2) == 0))
		case 1:
			if got := rowsOf(t, s); !maps.Equal(got, whole) {
				t.Fatalf("operation %d: %d rows, want %d", i, len(got), len(whole))
			}
		case 2:
			if rng.IntN(5) == 0 {
				err = s.folding(func(tx *txn) error { tx.Set(k, v); return gaveUp })
				if now = maps.Clone(whole); errors.Is(err, gaveUp) {
					err = nil
				}
			} else if rng.IntN(20) == 0 {
				err = s.Close()
				s, now = open(), maps.Clone(whole)
			}
		case 3, 4, 5:
			err = s.folding(func(tx *txn) error { tx.Delete(k); return nil })
			delete(now, string(k))
		default:
			err = s.folding(func(tx *txn) error { tx.Set(k, v); return nil })
			now[string(k)] = string(v)
		}
		if err != nil {
			t.Fatal(err)
		}
		readStep(t, s, k, now, whole)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// readStep checks what a fold reads in its own step: by key everything, in a range whole batches.
func readStep(t *testing.T, s *Store, k []byte, now, whole map[string]string) {
	t.Helper()
	err := s.folding(func(tx *txn) error {
		got, err := tx.Get(k)
		want, ok := now[string(k)]
		if err != nil || string(got) != want || ok != (got != nil) {
			t.Fatalf("row %s is %x, want %x, %v", k, got, want, err)
		}
		if len(now)%7 != 0 {
			return nil
		}
		rows := 0
		err = tx.Scan(nil, nil, false, func(k, v []byte) bool {
			if rows++; whole[string(k)] != string(v) {
				t.Errorf("row %s in a range is %x, want %x", k, v, whole[string(k)])
			}
			return true
		})
		if rows != len(whole) {
			t.Fatalf("%d rows in the whole range, want %d", rows, len(whole))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrashAtEveryStep: the power fails at every entry, with an open step of any size, after which both states are
// at the end of one of their steps, with exactly the rows of that entry.
func TestCrashAtEveryStep(t *testing.T) {
	logs := history(t, 40)
	derived, generation := rowsBy(t, logs)
	n := uint64(len(logs))
	for _, size := range []uint64{1, 2, 7} {
		fs := crashfs.New()
		m := newMachine(t, fs, 1)
		m.keepOpen(never)
		m.store(logs)
		for to := uint64(1); to <= n; to++ {
			m.foldTo(to)
			if to%size == 0 {
				m.must(errors.Join(flushAll(m.derived.store), flushAll(m.gen.store)))
			}
			percent := []int{0, 50, 100}[to%3]
			cut := fs.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(to, size))})
			after := newMachine(t, cut, 1)
			d, g := after.derived.Cursor().Index, after.gen.Cursor().Index
			if d != to-to%size || g != to-to%size {
				t.Errorf("steps of %d, cut at entry %d: folded to %d and %d", size, to, d, g)
			}
			if !maps.Equal(rowsOf(t, after.derived.store), derived[d]) || !maps.Equal(rowsOf(t, after.gen.store), generation[g]) {
				t.Fatalf("steps of %d, cut at entry %d: not the rows of entries %d and %d", size, to, d, g)
			}
			after.close()
		}
		m.close()
	}
}

// TestCloseAppliesTheStep: what is folded and not applied is there after an ordered stop.
func TestCloseAppliesTheStep(t *testing.T) {
	logs := history(t, 40)
	n := uint64(len(logs))
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	m.keepOpen(never)
	m.store(logs)
	m.foldTo(n)
	if len(stored(t, m.gen.store)) > 0 || m.gen.Unflushed() < 10_000 {
		t.Errorf("applied before the close, or %d bytes in memory", m.gen.Unflushed())
	}
	m.close()
	m.open()
	defer m.close()
	if d, g := m.derived.Cursor().Index, m.gen.Cursor().Index; d != n || g != n {
		t.Errorf("folded to %d and %d of %d", d, g, n)
	}
}

// TestWhenStepsAreApplied: an entry after an idle time is applied at once, the ones that follow at the end of a window
// that nobody has to wait for, or when they are many.
func TestWhenStepsAreApplied(t *testing.T) {
	logs := history(t, 10)
	fold := func(m *machine, to uint64, applied bool) {
		t.Helper()
		m.foldTo(to)
		if got := stored(t, m.gen.store)["p"] != ""; got != applied {
			t.Fatalf("entry %d: applied %v, want %v", to, got, applied)
		}
	}
	newOne := func(b bounds) *machine {
		m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
		m.derived.store.step.bounds, m.gen.store.step.bounds = b, b
		m.store(logs)
		return m
	}
	m := newOne(never)
	fold(m, 5, true)
	m.close()

	m = newOne(never)
	m.keepOpen(bounds{events: 20, bytes: 1 << 30, millis: 1 << 30})
	fold(m, 6, false) // 5 operators' events and one pack of 10
	fold(m, 8, true)
	m.close()

	m = newOne(never)
	m.keepOpen(bounds{events: 1 << 30, bytes: 5000, millis: 1 << 30})
	fold(m, 5, false)
	fold(m, 7, true)
	m.close()

	m = newOne(never)
	m.keepOpen(bounds{events: 1 << 30, bytes: 1 << 30, millis: 1})
	m.foldTo(uint64(len(logs)))
	tick, rows := time.NewTicker(time.Millisecond), rowsBefore(m)
	defer tick.Stop()
	for until := time.Now().Add(20 * time.Second); len(stored(t, m.gen.store)) < rows; <-tick.C {
		if time.Now().After(until) {
			t.Fatal("a window does not end")
		}
	}
	m.close()
}

// rowsBefore counts the rows that a fold of everything in the log of m has.
func rowsBefore(m *machine) int {
	ref := newMachine(m.t, vfs.NewMem(), DefaultBatchBytes)
	defer ref.close()
	ref.store(history(m.t, 10))
	ref.foldTo(m.gen.Cursor().Index)
	v, n := ref.gen.View(), 0
	defer v.Close()
	m.must(v.Scan(nil, nil, false, func(_, _ []byte) bool { n++; return true }))
	return n
}

// TestFailedStep: after an error of Pebble nobody reads a state without the batches that were folded, and the fold ends.
func TestFailedStep(t *testing.T) {
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(history(t, 100))
	m.foldTo(3)
	full := errors.New("no space")
	m.gen.store.step.err = full
	v := m.gen.View()
	defer v.Close()
	if _, err := v.Get([]byte("p")); !errors.Is(err, full) {
		t.Errorf("a row was read: %v", err)
	}
	if err := v.Scan(nil, nil, false, nil); !errors.Is(err, full) {
		t.Errorf("rows were read: %v", err)
	}
	m.log.CommittedTo(6)
	m.must(catchUp(t.Context(), m.derived, 6))
	if err := catchUp(t.Context(), m.gen, 6); !errors.Is(err, full) || m.gen.Cursor().Index != 3 {
		t.Errorf("folded to %d, %v", m.gen.Cursor().Index, err)
	}
	m.gen.store.step.err = nil
}

// TestFailedStepEndsAnIdleFold: a step that a reader could not have applied ends the fold, although no entry comes.
func TestFailedStepEndsAnIdleFold(t *testing.T) {
	logs := history(t, 50)
	n := uint64(len(logs))
	for _, early := range []bool{false, true} {
		m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
		m.store(logs)
		m.foldTo(n)
		m.keepOpen(never)
		ended := make(chan error, 1)
		run := func() { ended <- m.gen.Run(t.Context()) }
		if !early {
			go run()
		}
		m.must(m.gen.store.folding(func(tx *txn) error { tx.Set([]byte("r1"), nil); return nil })) // no block holds it
		m.must(m.gen.store.seal(0, func(*txn) {}))
		v := m.gen.View()
		if _, err := v.Get([]byte("p")); !errors.Is(err, ErrDamaged) {
			t.Errorf("a reader got %v", err)
		}
		m.must(v.Close())
		if early {
			go run()
		}
		if err := <-ended; !errors.Is(err, ErrDamaged) {
			t.Errorf("the fold ended with %v", err)
		}
		m.close()
	}
}

// TestUnflushedWaitsForNoWrite: what a node has in memory is known while Pebble holds the write of a step back. Whether the
// node sends heartbeats depends on it.
func TestUnflushedWaitsForNoWrite(t *testing.T) {
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.keepOpen(never)
	logs := history(t, 50)
	m.store(logs)
	m.foldTo(uint64(len(logs)))
	for name, s := range map[string]*Store{"derived": m.derived.store, "generation": m.gen.store} {
		known := make(chan uint64, 1)
		s.step.mu.Lock() // as for the time of a write
		go func() { known <- s.Unflushed() }()
		select {
		case n := <-known:
			if n < 1000 {
				t.Errorf("%s: %d bytes", name, n)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: not known", name)
		}
		s.step.mu.Unlock()
		m.must(s.Snapshot().Close())
		if n := s.step.size.Load(); n != 0 {
			t.Errorf("%s: %d bytes after the step", name, n)
		}
	}
}
