package fsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/test/crashfs"
)

// heldBatches pushes entries 1 to n as batches of size entries and returns the cursor before each entry. Entry i
// holds i%3 events of a hundred bytes.
func heldBatches(h *head, n, size int) []Cursor {
	at := []Cursor{{}}
	for i := 1; i <= n; {
		before := at[len(at)-1]
		b := &batch{cur: before}
		for ; len(b.entries) < size && i <= n; i++ {
			cur := &b.cur
			cur.Index, cur.Term = uint64(i), uint64(1+i/10)
			e := log.Entry{Index: cur.Index, Term: cur.Term}
			for range i % 3 {
				cur.Seq, cur.LogTime = cur.Seq+1, int64(i)
				ev := event.Event{Kind: event.Submission, Payload: make([]byte, 100)}
				b.items = append(b.items, projections.Item{Seq: cur.Seq, Index: e.Index, LogTime: cur.LogTime, Event: ev})
				e.Data = append(e.Data, ev.Payload...)
			}
			b.entries = append(b.entries, e)
			at = append(at, *cur)
		}
		h.push(before, b)
	}
	return at
}

// TestHeadTake: what is taken is what was pushed, from any entry on, however the entries came in batches.
func TestHeadTake(t *testing.T) {
	for _, size := range []int{1, 4, 100} {
		h := &head{limit: 1 << 20}
		at := heldBatches(h, 30, size)
		for from := range 30 {
			for _, target := range []int{from + 1, 30, 99} {
				b := h.take(at[from], uint64(target), 1<<20)
				if b == nil {
					t.Fatalf("batches of %d: nothing after entry %d", size, from)
				}
				if want := at[min(target, 30)]; b.cur != want {
					t.Errorf("batches of %d, from %d to %d: %+v, want %+v", size, from, target, b.cur, want)
				}
				for i, it := range b.items {
					if it.Seq != at[from].Seq+uint64(i)+1 {
						t.Errorf("batches of %d, from %d: item %d has number %d", size, from, i, it.Seq)
					}
				}
				if n := b.cur.Seq - at[from].Seq; uint64(len(b.items)) != n {
					t.Errorf("batches of %d, from %d to %d: %d items of %d events", size, from, target, len(b.items), n)
				}
			}
		}
	}
}

// TestHeadBounds: the head holds the newest entries up to its limit, and a batch that is taken has a size, too.
func TestHeadBounds(t *testing.T) {
	h := &head{limit: 4000}
	at := heldBatches(h, 100, 7)
	sum := 0
	for _, d := range h.held() {
		sum += d.bytes
	}
	if sum != h.bytes || h.bytes > h.limit || len(h.held()) < 5 {
		t.Errorf("%d entries hold %d bytes, counted %d, limit %d", len(h.held()), sum, h.bytes, h.limit)
	}
	last := h.held()[len(h.held())-1]
	if last.after != at[100] {
		t.Errorf("the newest entry is %+v, want %+v", last.after, at[100])
	}
	first := h.held()[0].before.Index
	if h.take(at[first], 100, 1<<20) == nil || h.take(at[first-1], 100, 1<<20) != nil || h.take(Cursor{}, 100, 1<<20) != nil {
		t.Errorf("entries from %d on are held, others are not", first+1)
	}
	if b := h.take(at[first], 100, 1); b == nil || b.cur != at[first+1] {
		t.Errorf("at least one entry: %+v", b)
	}
	if h.take(at[100], 200, 1<<20) != nil || h.take(at[first], first, 1<<20) != nil {
		t.Error("something after the end")
	}
	none := &head{}
	if heldBatches(none, 10, 3); none.bytes != 0 || len(none.held()) != 0 {
		t.Errorf("without a limit, %d bytes are held", none.bytes)
	}
}

// TestHeadNumbers: a cursor that counts in another way gets nothing, and a gap empties the head.
func TestHeadNumbers(t *testing.T) {
	h := &head{limit: 1 << 20}
	at := heldBatches(h, 20, 5)
	for name, change := range map[string]func(*Cursor){
		"term":     func(c *Cursor) { c.Term++ },
		"number":   func(c *Cursor) { c.Seq++ },
		"log time": func(c *Cursor) { c.LogTime-- },
		"index":    func(c *Cursor) { c.Index++ },
	} {
		c := at[10]
		change(&c)
		if h.take(c, 20, 1<<20) != nil {
			t.Errorf("a cursor with another %s got a batch", name)
		}
	}
	later := at[20]
	later.Index += 5
	h.push(later, &batch{entries: []log.Entry{{Index: later.Index + 1, Term: later.Term}}})
	if len(h.held()) != 1 || h.take(at[10], 20, 1<<20) != nil {
		t.Errorf("%d entries after a gap", len(h.held()))
	}
	if b := h.take(later, later.Index+1, 1<<20); b == nil || b.cur.Index != later.Index+1 {
		t.Errorf("after a gap: %+v", b)
	}
}

// TestHeadCopies: what one generation finds in an item reaches no other one.
func TestHeadCopies(t *testing.T) {
	h := &head{limit: 1 << 20}
	at := heldBatches(h, 9, 9)
	first := h.take(at[0], 9, 1<<20)
	for i := range first.items {
		first.items[i].Prepared = &projections.Prepared{}
	}
	for _, it := range h.take(at[0], 9, 1<<20).items {
		if it.Prepared != nil {
			t.Fatalf("event %d is checked already", it.Seq)
		}
	}
}

// folded folds entry by entry, derived/ first, and returns how many entries each loop read from the log.
func (m *machine) folded(from, to uint64, gens ...*Generation) (derived, generations uint64) {
	m.t.Helper()
	reads := func() uint64 {
		c := m.log.Metrics()
		return c.TailHits + c.Misses
	}
	for i := from; i <= to; i++ {
		m.log.CommittedTo(i)
		before := reads()
		m.must(catchUp(m.t.Context(), m.derived, i))
		middle := reads()
		for _, g := range gens {
			m.must(catchUp(m.t.Context(), g, i))
		}
		derived, generations = derived+middle-before, generations+reads()-middle
	}
	return derived, generations
}

// TestHeadIsShared: generations that follow at the head read no entry of the log. One that is behind reads by
// itself, and all come to the same digests as without sharing.
func TestHeadIsShared(t *testing.T) {
	logs := history(t, 40)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	if own, read := m.folded(1, n, m.gen); own != n || read != 0 {
		t.Errorf("derived/ read %d entries and the generation %d of %d", own, read, n)
	}
	if got := m.state(); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	m.must(m.derived.Close())
	m.reopenDerived() // a restart empties the head
	late := m.openFirst("generations/again")
	defer late.Close()
	if _, read := m.folded(n, n, late); read == 0 {
		t.Error("a generation that is behind read nothing")
	}
	kept := m.gen
	m.gen = late
	if got := m.state(); got != want {
		t.Errorf("read by itself: %x, want %x", got, want)
	}
	m.gen = kept
}

// reopenDerived opens derived/ again, which must be closed.
func (m *machine) reopenDerived() {
	m.t.Helper()
	var err error
	m.derived, err = OpenDerived(m.fs, "derived", m.log, m.batch, quiet, nil)
	m.must(err)
	m.gen.derived = m.derived
}

// openFirst opens one more fold of the first generation.
func (m *machine) openFirst(dir string) *Generation {
	m.t.Helper()
	g, err := OpenGeneration(m.fs, dir, 1, m.log, m.derived, published(m.t).held, Observer{}, m.batch, quiet)
	m.must(err)
	return g
}

// TestCrashBetweenFolds: the power fails after derived/ has folded an entry and before the generation has, at every
// entry in turn, with both, one or none of the stores flushed. The folds go on to the same digests.
func TestCrashBetweenFolds(t *testing.T) {
	logs := history(t, 60)
	n := uint64(len(logs))
	want := foldAll(t, logs, DefaultBatchBytes)
	for at := uint64(2); at <= n; at += 3 {
		for _, flushed := range []string{"", "derived", "generation", "both"} {
			t.Run(fmt.Sprintf("entry %d, flushed %q", at, flushed), func(t *testing.T) {
				fs := crashfs.New()
				m := newMachine(t, fs, DefaultBatchBytes)
				m.store(logs)
				m.folded(1, at-1, m.gen)
				m.log.CommittedTo(at)
				m.must(catchUp(t.Context(), m.derived, at))
				if h := m.derived.head.take(m.gen.Cursor(), at, 1<<20); h == nil || h.cur.Index != at {
					t.Fatalf("the head does not hold entry %d", at)
				}
				if slices.Contains([]string{"derived", "both"}, flushed) {
					m.must(flushAll(m.derived.store))
				}
				if slices.Contains([]string{"generation", "both"}, flushed) {
					m.must(flushAll(m.gen.store))
				}
				clone := fs.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(at, 1))})
				m.close()
				m = newMachine(t, clone, DefaultBatchBytes)
				defer m.close()
				m.store(logs)
				m.run(n)
				if got := m.state(); got != want {
					t.Errorf("%x, want %x", got, want)
				}
			})
		}
	}
}

// TestGenerationWaitsForDerived: a generation takes no entry before derived/ has folded it, and its wait ends with
// its context.
func TestGenerationWaitsForDerived(t *testing.T) {
	logs := history(t, 100)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer m.close()
	m.store(logs)
	m.log.CommittedTo(2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- catchUp(ctx, m.gen, 3) }()
	m.must(catchUp(t.Context(), m.derived, 2))
	m.must(m.gen.WaitIndex(t.Context(), 2))
	if c := m.gen.Cursor(); c != m.derived.Cursor() {
		t.Errorf("the generation is at %+v, derived/ at %+v", c, m.derived.Cursor())
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the fold ended with %v", err)
	}
}
