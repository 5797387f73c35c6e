package fsm

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/projections"
)

// compared gives the published history with a generation of another policy, compared up to the end.
func compared(t *testing.T) (*machine, *Generation, *Comparison) {
	t.Helper()
	logs := recounted(t, false)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	m.store(logs)
	m.run(uint64(len(logs)))
	g := m.openSecond(3)
	m.must(catchUp(t.Context(), g, m.gen.Cursor().Index))
	c, err := NewComparison(m.gen, g, m.derived)
	m.must(err)
	m.must(c.Run(t.Context(), g.Cursor().Seq, noRest))
	t.Cleanup(func() { m.must(g.Close()); m.close() })
	return m, g, c
}

// flipKey is the key of the flip of an event.
func flipKey(seq uint64) []byte {
	lo, _ := projections.FlipRange()
	return binary.BigEndian.AppendUint64(lo, seq)
}

// TestComparisonIsDroppedByRange: a comparison with another generation begins without the flips of the one before, at a cost that
// does not grow with their number.
func TestComparisonIsDroppedByRange(t *testing.T) {
	m, g, c := compared(t)
	const more = 20_000
	tx := g.store.begin(more)
	for i := range uint64(more) {
		tx.Set(flipKey(1<<40+i), make([]byte, 300))
	}
	at := c.at
	at.Against = 77
	projections.WriteDiffPosition(tx, at)
	m.must(tx.commit())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	again, err := NewComparison(m.gen, g, m.derived)
	runtime.ReadMemStats(&after)
	m.must(err)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 256<<10 {
		t.Errorf("%d bytes were allocated to drop %d flips", spent, more)
	}
	v := g.View()
	defer v.Close()
	lo, hi := projections.FlipRange()
	m.must(v.Scan(lo, hi, false, func(k, _ []byte) bool { t.Errorf("the flip %x is left", k); return false }))
	m.must(again.Run(t.Context(), g.Cursor().Seq, noRest))
	at.Against = c.at.Against
	if again.at != at {
		t.Errorf("compared anew: %+v, before %+v", again.at, at)
	}
}

// TestSumsAreKept: the sums of a comparison are those of all its flips, at every position, and what was added up once is not read
// again.
func TestSumsAreKept(t *testing.T) {
	m, g, c := compared(t)
	all := func(to uint64) *projections.FlipSums {
		v := g.View()
		defer v.Close()
		sums := projections.NewFlipSums()
		m.must(projections.EachFlip(v, 1, to, func(f *projections.Flip) bool { sums.Add(f); return true }))
		return sums
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Sums(gone, c.Seq()); !errors.Is(err, context.Canceled) {
		t.Errorf("for a caller who has gone: %v", err)
	}
	end := c.Seq()
	for _, to := range []uint64{end / 3, end / 2, end / 4, end, end - 1, end} {
		got, err := c.Sums(t.Context(), to)
		m.must(err)
		if want := all(to); !reflect.DeepEqual(got, want) {
			t.Errorf("to %d: %+v, want %+v", to, got, want)
		}
	}
	want := all(end)
	if want.Flips == 0 {
		t.Fatal("nothing flips")
	}
	tx := g.store.begin(0)
	tx.clear(projections.FlipRange())
	m.must(tx.commit())
	if got, err := c.Sums(t.Context(), end); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read again: %+v %v", got, err)
	}
}

// TestEventsOfOneEntry: a reader of many events gives the same as one for each, in any order, and decodes an entry once.
func TestEventsOfOneEntry(t *testing.T) {
	m, _, _ := compared(t)
	read, last := m.derived.Items(), m.derived.Cursor().Seq
	check := func(seq uint64) {
		t.Helper()
		got, err := read(seq)
		m.must(err)
		want, err := m.derived.Item(seq)
		m.must(err)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("event %d: %+v, want %+v", seq, got, want)
		}
	}
	for seq := uint64(1); seq <= last; seq++ {
		check(seq)
	}
	for seq := last; seq > 0; seq-- {
		check(seq)
	}
	index, _, err := m.derived.Locate(last / 2)
	m.must(err)
	first, of := uint64(0), 0
	for seq := uint64(1); seq <= last; seq++ {
		if at, _, err := m.derived.Locate(seq); err == nil && at == index {
			if of++; first == 0 {
				first = seq
			}
		}
	}
	cost := func(read func(uint64) (projections.Item, error)) float64 {
		return testing.AllocsPerRun(5, func() {
			for i := range uint64(of) {
				_, _ = read(first + i)
			}
		})
	}
	if kept, each := cost(read), cost(m.derived.Item); of > 1 && kept >= each {
		t.Errorf("%d events of one entry: %.0f allocations with a kept entry, %.0f without", of, kept, each)
	}
}

// TestSubmissionsAreCounted: the count that is carried on is right wherever it is asked for.
func TestSubmissionsAreCounted(t *testing.T) {
	m, _, _ := compared(t)
	last := m.derived.Cursor().Seq
	for _, seq := range []uint64{last, 3, last / 2, 1, last - 1, last} {
		got, err := m.derived.Submissions(seq)
		m.must(err)
		want := uint64(0)
		for s := uint64(1); s <= seq; s++ {
			if it, err := m.derived.Item(s); err == nil && it.Kind.String() == "submission" {
				want++
			}
		}
		if got != want || want == 0 && seq > 10 {
			t.Errorf("%d submissions up to event %d, want %d", got, seq, want)
		}
	}
}
