package fsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// held is derived/ with a fold that waits, and counts of what was read and folded.
type held struct {
	*Derived
	reads, folds atomic.Int64
	release      chan struct{} // the fold waits until it is closed
	failAt       int64         // this fold fails, 0 for none
	err          error
}

func (h *held) read(ctx context.Context, at Cursor, target uint64) (*batch, error) {
	h.reads.Add(1)
	return h.Derived.read(ctx, at, target)
}

func (h *held) fold(ctx context.Context, b *batch) error {
	select {
	case <-h.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	if n := h.folds.Add(1); n == h.failAt {
		return h.err
	}
	return h.Derived.fold(ctx, b)
}

// heldFold is a fold of a history with one batch for each entry, which waits.
func heldFold(t *testing.T) (*machine, *held, uint64) {
	t.Helper()
	logs := history(t, 2)
	m := newMachine(t, vfs.NewMem(), 1)
	m.store(logs)
	m.log.CommittedTo(uint64(len(logs)))
	return m, &held{Derived: m.derived, release: make(chan struct{})}, uint64(len(logs))
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestPipelineIsBounded: however far the fold is behind, the reader takes no more room than there is.
func TestPipelineIsBounded(t *testing.T) {
	m, h, last := heldFold(t)
	defer m.close()
	first, err := h.read(t.Context(), Cursor{}, last)
	m.must(err)
	p, done := newPipeline(h), make(chan error, 1)
	go func() { done <- p.run(t.Context(), first, last) }()
	until(t, "the reader does not fill the room", func() bool { return len(p.room) == roomUnits && h.reads.Load() > roomUnits })
	select {
	case err := <-done:
		t.Errorf("ended with %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if n := h.reads.Load(); n != roomUnits+1 { // the last one waits for room
		t.Errorf("%d batches were read, and %d fit", n, roomUnits)
	}
	close(h.release)
	m.must(<-done)
	if c := m.derived.Cursor().Index; c != last || len(p.room) != 0 {
		t.Errorf("folded to %d of %d, %d units are taken", c, last, len(p.room))
	}
}

// TestBatchesHaveUnits: the room that a batch takes grows with its bytes and with its events, and a very large one has room.
func TestBatchesHaveUnits(t *testing.T) {
	of := func(events, bytes int) int {
		b := &batch{items: make([]projections.Item, events)}
		for i := range b.items {
			b.items[i].Event.Payload = make([]byte, bytes)
		}
		p := newPipeline(nil)
		m := make(chan part, events+1)
		p.parts = m
		if err := p.pass(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(p.room) != b.units || len(p.batches) != 1 {
			t.Errorf("%d units are taken for %d", len(p.room), b.units)
		}
		return b.units
	}
	none, many, large, huge := of(0, 0), of(4096, 16), of(4, 1<<20), of(12, 1<<20)
	if none != 1 || many < 4096*1024/unitBytes || large < 16 || huge != roomUnits {
		t.Errorf("%d, %d, %d and %d units", none, many, large, huge)
	}
}

// TestDefaultBatchesShareTheRoom: while a batch of usual records is folded, several more have room to be prepared.
func TestDefaultBatchesShareTheRoom(t *testing.T) {
	logs := history(t, 64)
	usual := logs[len(logs)-1].Data
	for i := len(logs) - 1; len(usual) < 30_000; i-- {
		usual = logs[i].Data
	}
	pack, err := event.DecodePack(usual)
	must(t, err)
	b := &batch{}
	for bytes := 0; bytes < DefaultBatchBytes; bytes += len(usual) {
		for _, e := range pack.Events {
			b.items = append(b.items, projections.Item{Event: e})
		}
	}
	p := newPipeline(nil)
	p.parts = make(chan part, len(b.items))
	must(t, p.pass(t.Context(), b))
	if b.units > roomUnits/4 {
		t.Errorf("%d records take %d of %d units", len(b.items), b.units, roomUnits)
	}
}

// TestPipelineEnds: after an error of the fold, of a read or of the context nothing runs any more, the rest is not folded,
// and the next run goes on from there.
func TestPipelineEnds(t *testing.T) {
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		failAt int64
		cancel bool
		beyond uint64 // entries that the log does not have
		want   error
	}{
		"fold":    {failAt: 20, want: bad},
		"first":   {failAt: 1, want: bad},
		"context": {cancel: true, want: context.Canceled},
		"read":    {beyond: 5, want: log.ErrGap},
	} {
		t.Run(name, func(t *testing.T) {
			m, h, last := heldFold(t)
			defer m.close()
			h.failAt, h.err = c.failAt, bad
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- catchUp(ctx, h, last+c.beyond) }()
			until(t, "nothing is read ahead", func() bool { return h.reads.Load() > 10 })
			if c.cancel {
				cancel()
			} else {
				close(h.release)
			}
			if err := <-done; !errors.Is(err, c.want) {
				t.Fatalf("ended with %v, want %v", err, c.want)
			}
			if c.failAt > 0 {
				if got := m.derived.Cursor().Index; got != uint64(c.failAt-1) {
					t.Errorf("folded to %d, and the fold of entry %d failed", got, c.failAt)
				}
			}
			m.must(catchUp(t.Context(), m.derived, last))
			m.must(catchUp(t.Context(), m.gen, last))
			if got, want := m.state(), foldAll(t, history(t, 2), DefaultBatchBytes); got != want {
				t.Errorf("%x, want %x", got, want)
			}
		})
	}
}

// TestPipelineWritesTheSameRows: with any number of workers, and with steps that are applied while the next one is folded,
// a generation has the rows that a fold of one entry after the other writes.
func TestPipelineWritesTheSameRows(t *testing.T) {
	logs := history(t, 3)
	n := uint64(len(logs))
	ref := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer ref.close()
	ref.store(logs)
	ref.folded(1, n, ref.gen)
	derived, generation := rowsOf(t, ref.derived.store), rowsOf(t, ref.gen.store)
	for _, procs := range []int{1, 2, 3, 8} {
		for _, events := range []int{1, 50} {
			t.Run(fmt.Sprintf("%d processors, steps of %d", procs, events), func(t *testing.T) {
				processors(t, procs)
				m := newMachine(t, vfs.NewMem(), 2_000)
				defer m.close()
				m.keepOpen(bounds{events: events, bytes: 1 << 30, millis: 1 << 30})
				m.store(logs)
				m.foldTo(n)
				if !maps.Equal(rowsOf(t, m.derived.store), derived) || !maps.Equal(rowsOf(t, m.gen.store), generation) {
					t.Error("other rows")
				}
			})
		}
	}
}
