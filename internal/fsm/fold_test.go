package fsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/test/crashfs"
)

// TestSameDigests: the state depends on the log alone, not on how much a step reads, how many processors check, or
// whether the entries that wait are few, which are folded one batch after the other, or many, which go through a
// pipeline.
func TestSameDigests(t *testing.T) {
	logs := history(t, 10)
	want := foldAll(t, logs, DefaultBatchBytes)
	if want.Seq != 4+uint64(len(published(t).events)) || want.LogTime != start {
		t.Fatalf("%+v", want)
	}
	if want.State == [32]byte{} || want.Root == [32]byte{} || want.Control == [32]byte{} {
		t.Fatalf("%+v", want)
	}
	for _, procs := range []int{1, 8} {
		for _, batch := range []int{1, 70_000, DefaultBatchBytes} {
			for _, step := range []int{1, fewEntries, fewEntries + 1, len(logs)} {
				t.Run(fmt.Sprintf("%d processors, %d bytes, %d entries", procs, batch, step), func(t *testing.T) {
					processors(t, procs)
					if got := foldBy(t, logs, batch, step); got != want {
						t.Errorf("%x, want %x", got, want)
					}
				})
			}
		}
	}
}

// foldBy folds a whole history on a new file system, step entries at a time.
func foldBy(t *testing.T, logs []*raft.Log, batch, step int) state {
	t.Helper()
	m := newMachine(t, vfs.NewMem(), batch)
	defer m.close()
	m.store(logs)
	for to := min(step, len(logs)); ; to = min(to+step, len(logs)) {
		m.run(uint64(to))
		if to == len(logs) {
			return m.state()
		}
	}
}

// TestPackSizes: with equal log times the packing changes nothing, because nothing of it reaches a row.
func TestPackSizes(t *testing.T) {
	want := foldAll(t, history(t, 717), DefaultBatchBytes)
	for _, size := range []int{1, 7, 256} {
		if got := foldAll(t, history(t, size), DefaultBatchBytes); got != want {
			t.Errorf("packs of %d: %x, want %x", size, got, want)
		}
	}
}

func TestReopen(t *testing.T) {
	logs := history(t, 40)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	m := newMachine(t, vfs.NewMem(), 30_000)
	m.store(logs)
	for _, to := range []uint64{1, 2, n / 3, n / 2, n - 1, n} {
		m.run(to)
		if c := m.derived.Cursor(); c.Index != to || c != m.gen.Cursor() {
			t.Errorf("cursors %+v and %+v at entry %d", c, m.gen.Cursor(), to)
		}
		before := m.state()
		m.close()
		m.open()
		if got := m.state(); got != before {
			t.Errorf("reopened at entry %d: %x, want %x", to, got, before)
		}
		if got := m.log.Committed(); got != to {
			t.Errorf("folded to %d, committed position %d after opening", to, got)
		}
	}
	if got := m.state(); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	m.close()
}

// TestDeleted: either folded state, or both, can be deleted at any time and come back.
func TestDeleted(t *testing.T) {
	logs := history(t, 50)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	for _, dirs := range [][]string{{"derived"}, {"generations"}, {"derived", "generations"}} {
		t.Run(fmt.Sprint(dirs), func(t *testing.T) {
			fs := vfs.NewMem()
			m := newMachine(t, fs, 50_000)
			m.store(logs)
			m.run(n / 2)
			m.close()
			for _, d := range dirs {
				m.must(fs.RemoveAll(d))
			}
			m.open()
			m.run(n)
			if got := m.state(); got != want {
				t.Errorf("%x, want %x", got, want)
			}
			m.close()
		})
	}
}

// TestCrashes: after a power cut at any point both folds go on from what is there, to the same state. About half of
// the runs that are cut are long enough for a pipeline.
func TestCrashes(t *testing.T) {
	logs := history(t, 10)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	rng := rand.New(rand.NewPCG(1, 2))
	kept := 0
	for round := range 12 {
		fs := crashfs.New()
		m := newMachine(t, fs, 10_000)
		var at uint64
		for cut := range 3 {
			m.store(logs)
			at = min(n, max(m.derived.Cursor().Index, m.gen.Cursor().Index)+1+rng.Uint64N(n/3))
			clone := cutDuring(m, at, rng)
			m.close()
			m = newMachine(t, clone, 10_000)
			if c := m.gen.Cursor().Index; c > 0 && c < n {
				kept++
			}
			if d, g := m.derived.Cursor().Index, m.gen.Cursor().Index; d > at || g > at {
				t.Errorf("round %d cut %d: folded to %d and %d of %d", round, cut, d, g, at)
			}
		}
		m.store(logs)
		m.run(n)
		if got := m.state(); got != want {
			t.Errorf("round %d: %x, want %x", round, got, want)
		}
		m.close()
	}
	if kept < 10 {
		t.Errorf("only %d of 36 cuts left a part of the fold", kept)
	}
}

// cutDuring folds to entry at and takes the image of a power cut that happens meanwhile.
func cutDuring(m *machine, at uint64, rng *rand.Rand) crashfs.FS {
	from := m.derived.Cursor().Index
	image := make(chan crashfs.FS, 1)
	when := from + rng.Uint64N(at-min(from, at-1)+1)
	percent := []int{0, 50, 100}[rng.IntN(3)]
	seed, flush := rng.Uint64(), rng.IntN(4)
	go func() {
		_ = m.derived.WaitIndex(context.Background(), min(when, at))
		if flush&1 != 0 {
			_ = flushAll(m.derived.store)
		}
		if flush&2 != 0 {
			_ = m.gen.WaitIndex(context.Background(), min(when, at))
			_ = flushAll(m.gen.store)
		}
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 3))}
		image <- m.fs.(crashfs.FS).Cut(cfg)
	}()
	m.run(at)
	return <-image
}

func TestUnknownKind(t *testing.T) {
	logs := history(t, 100)
	good := uint64(len(logs))
	b := &builder{logs: logs, term: 50}
	b.pack(published(t).events[0], event.Event{Kind: 99, Payload: make([]byte, event.SaltSize)})
	m := newMachine(t, vfs.NewMem(), 1)
	defer m.close()
	m.store(b.logs)
	m.run(good)
	before := m.state()
	m.log.CommittedTo(good + 1)
	if err := m.derived.Run(t.Context()); !errors.Is(err, projections.ErrUnknownKind) || !has(err, fmt.Sprintf("entry %d", good+1)) {
		t.Errorf("derived: %v", err)
	}
	if err := m.derived.CatchUp(t.Context()); !errors.Is(err, projections.ErrUnknownKind) {
		t.Errorf("catch up: %v", err)
	}
	// The generation waits for derived/, which never comes; it must not pass it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.gen.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("generation: %v", err)
	}
	if got := m.state(); got != before {
		t.Errorf("%x, want %x", got, before)
	}
}

func TestBrokenPack(t *testing.T) {
	b := &builder{logs: history(t, 700)}
	n := uint64(len(b.logs))
	b.other(raft.LogCommand, []byte("not a pack"))
	m := newMachine(t, vfs.NewMem(), 1)
	defer m.close()
	m.store(b.logs)
	m.run(n)
	m.log.CommittedTo(n + 1)
	if err := m.derived.Run(t.Context()); !errors.Is(err, event.ErrPack) || m.derived.Cursor().Index != n {
		t.Errorf("%v at %+v", err, m.derived.Cursor())
	}
}

// TestAhead: a folded state beside a shorter log, or one with another term at its position, is refused.
func TestAhead(t *testing.T) {
	logs := history(t, 100)
	n := uint64(len(logs))
	other := append([]*raft.Log(nil), logs...)
	changed := *logs[n-1]
	changed.Term++
	other[n-1] = &changed
	for name, entries := range map[string][]*raft.Log{"short": logs[:n-1], "empty": nil, "other term": other} {
		for _, gone := range []string{"none", "derived", "generations"} {
			t.Run(name+" without "+gone, func(t *testing.T) {
				fs := vfs.NewMem()
				m := newMachine(t, fs, DefaultBatchBytes)
				m.store(logs)
				m.run(n)
				m.close()
				m.must(fs.RemoveAll("events"))
				m.must(fs.RemoveAll(gone))
				m.openLog()
				defer m.log.Close()
				m.store(entries)
				if err := m.openFolds(); !errors.Is(err, ErrAhead) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestCommittedOnly: entries beyond the committed position are not folded, whatever the log holds.
func TestCommittedOnly(t *testing.T) {
	logs := history(t, 10)
	n := uint64(len(logs))
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	f := New(m.log)
	for to := uint64(3); to < n; to += 11 {
		if got := f.ApplyBatch(logs[:to]); len(got) != int(to) {
			t.Fatalf("%d answers", len(got))
		}
		m.run(to)
		if d, g := m.derived.Cursor().Index, m.gen.Cursor().Index; d != to || g != to {
			t.Fatalf("folded to %d and %d, committed to %d", d, g, to)
		}
		if _, err := m.log.Entry(to + 1); !errors.Is(err, log.ErrNotCommitted) {
			t.Errorf("entry %d: %v", to+1, err)
		}
	}
	f.Apply(logs[n-1])
	if got := m.log.Committed(); got != n {
		t.Errorf("committed to %d", got)
	}
	if err := f.Restore(nopReader{}); !errors.Is(err, ErrRestore) {
		t.Error(err)
	}
	m.must(m.derived.CatchUp(t.Context()))
	if got := m.derived.Cursor().Index; got != n {
		t.Errorf("caught up to %d", got)
	}
}

type nopReader struct{}

func (nopReader) Read([]byte) (int, error) { return 0, errors.New("not to be read") }
func (nopReader) Close() error             { return nil }

func TestMeta(t *testing.T) {
	logs := history(t, 300)
	m := newMachine(t, vfs.NewMem(), 1)
	m.store(logs)
	if i, term, conf, at := m.derived.Meta(); i != 0 || term != 0 || conf != nil || at != 0 {
		t.Errorf("%d %d %x %d", i, term, conf, at)
	}
	m.run(uint64(len(logs)))
	for range 2 {
		i, term, conf, at := m.derived.Meta()
		last := logs[len(logs)-1]
		if i != last.Index || term != last.Term || at != 1 || len(raft.DecodeConfiguration(conf).Servers) != 1 {
			t.Errorf("%d %d %x %d", i, term, conf, at)
		}
		m.close()
		m.open()
	}
	m.close()
}

func TestPlaces(t *testing.T) {
	logs := history(t, 9)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	var seq uint64
	for _, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		n, _, err := event.PeekCount(l.Data)
		m.must(err)
		for off := range n {
			seq++
			index, offset, err := m.derived.Locate(seq)
			if err != nil || index != l.Index || offset != off {
				t.Fatalf("event %d: entry %d offset %d, %v", seq, index, offset, err)
			}
		}
	}
	for _, s := range []uint64{0, seq + 1, ^uint64(0)} {
		if _, _, err := m.derived.Locate(s); !errors.Is(err, ErrNoEvent) {
			t.Errorf("event %d: %v", s, err)
		}
	}
	if it, err := m.derived.Item(seq); err != nil || it.LogTime != start {
		t.Errorf("%d %v", it.LogTime, err)
	}
	if _, err := m.derived.Root(seq + 1); !errors.Is(err, ErrNoEvent) {
		t.Error(err)
	}
}
