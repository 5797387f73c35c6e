package fsm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// TestItems: events that are read one by one are those that the fold numbered, in any order. What a reader has returned
// stays as it is.
func TestItems(t *testing.T) {
	m := newMachine(t, vfs.NewMem(), 20_000)
	defer m.close()
	logs := history(t, 10)
	m.store(logs)
	m.run(uint64(len(logs)))
	var folded []projections.Item
	var cur Cursor
	for _, l := range logs {
		var err error
		folded, err = cur.items(folded, log.Entry{Index: l.Index, Term: l.Term, Type: l.Type, Data: l.Data})
		m.must(err)
	}
	hash(folded)
	item, ev := m.derived.Items(), m.derived.Events()
	got := make([]projections.Item, len(folded))
	at := 0
	rng := rand.New(rand.NewPCG(1, 2))
	for range 4 * len(folded) {
		if at++; rng.IntN(3) == 0 { // neighbours, jumps, and the same event again
			at = rng.IntN(len(folded))
		}
		at %= len(folded)
		var err error
		got[at], err = item(folded[at].Seq)
		m.must(err)
		e, err := ev(folded[at].Seq)
		m.must(err)
		if e.Kind != folded[at].Kind || !bytes.Equal(e.Payload, folded[at].Event.Payload) {
			t.Fatalf("event %d: %s of %d bytes", folded[at].Seq, e.Kind, len(e.Payload))
		}
	}
	for i := range got {
		if got[i].Seq != 0 && !reflect.DeepEqual(got[i], folded[i]) {
			t.Fatalf("event %d: %+v, folded as %+v", folded[i].Seq, got[i], folded[i])
		}
	}
	for _, seq := range []uint64{0, uint64(len(folded)) + 1, 1 << 60} {
		if _, err := item(seq); !errors.Is(err, ErrNoEvent) {
			t.Errorf("event %d: %v", seq, err)
		}
	}
	if _, err := item(1); err != nil {
		t.Errorf("after an event that is not there: %v", err)
	}
}

// TestItemsOfFalsePlace: a place row with more events than its entry gives an error and no event of another entry.
func TestItemsOfFalsePlace(t *testing.T) {
	m := newMachine(t, vfs.NewMem(), 20_000)
	defer m.close()
	logs := history(t, 10)
	m.store(logs)
	m.run(uint64(len(logs)))
	at, err := m.derived.locate(20)
	m.must(err)
	tx := m.derived.store.begin(1)
	tx.Set(seqKey(at.first), encodeLocation(at.index, int(at.events)+5, at.logTime))
	for seq := at.first + at.events; seq < at.first+at.events+5; seq++ {
		tx.Delete(seqKey(seq))
	}
	m.must(tx.commit())
	for _, read := range []func(uint64) (projections.Item, error){m.derived.Item, m.derived.Items()} {
		for seq := at.first; seq < at.first+at.events+5; seq++ {
			if _, err := read(seq); errors.Is(err, ErrNoEvent) != (seq >= at.first+at.events) {
				t.Errorf("event %d of an entry with events %d to %d: %v", seq, at.first, at.first+at.events-1, err)
			}
		}
	}
}
