package fsm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/recount-ledger/recount/internal/projections"
)

// writer adds the rows of a step to a batch of Pebble, in the layout of their space.
type writer struct {
	db    *pebble.DB
	batch *pebble.Batch
	due   []*op  // memory for the operations on one space
	value []byte // memory for a value
}

// put writes the newest operation on each key of a space in whole batches that are not in the store yet.
func (w *writer) put(s *space, how layout) error {
	w.due = w.due[:0]
	for i := s.applied; i < s.whole; i++ {
		if o := &s.ops[i]; o.next == 0 || int(o.next) >= s.whole {
			w.due = append(w.due, o)
		}
	}
	switch how {
	case blocks:
		return w.putBlocks()
	case postings:
		return w.putPostings()
	}
	for _, o := range w.due {
		if err := w.putPlain(o); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) putPlain(o *op) error {
	if o.deleted {
		return w.batch.Delete(o.bytes(), nil)
	}
	return w.batch.Set(o.bytes(), o.value, nil)
}

func (w *writer) sort() {
	slices.SortFunc(w.due, func(a, b *op) int { return strings.Compare(a.key, b.key) })
}

// putBlocks writes rows into their blocks. Of the first block of a step some rows are in the store already.
func (w *writer) putBlocks() error {
	w.sort()
	for from := 0; from < len(w.due); {
		key, _, ok := blockOf(w.due[from].bytes())
		if !ok {
			return fmt.Errorf("row %x: %w", w.due[from].key, projections.ErrCorrupt)
		}
		var b block
		old, err := (&View{r: w.db}).get(key[:])
		if err == nil {
			err = b.decode(old)
		}
		if err != nil {
			return err
		}
		for ; from < len(w.due); from++ {
			of, at, ok := blockOf(w.due[from].bytes())
			if !ok || of != key {
				break
			}
			b[at] = w.due[from].value
		}
		w.value = b.append(w.value[:0])
		if err := w.batch.Set(key[:], w.value, nil); err != nil {
			return err
		}
	}
	return nil
}

// putPostings writes rows whose keys differ in their last number only as one list.
func (w *writer) putPostings() error {
	w.sort()
	for from := 0; from < len(w.due); {
		first := w.due[from]
		if !first.posting() {
			return fmt.Errorf("row %x: %w", first.key, projections.ErrCorrupt)
		}
		w.value = w.value[:0]
		to, last, held := from+1, first.number(), 1
		for ; to < len(w.due) && w.due[to].follows(first); to++ {
			n := w.due[to].number()
			if n == last { // an event may be written twice
				continue
			}
			if held == maxPostings {
				break
			}
			w.value, last, held = binary.AppendUvarint(w.value, n-last), n, held+1
		}
		if err := w.batch.Set(first.bytes(), w.value, nil); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// posting reports whether a list can hold the row.
func (o *op) posting() bool { return len(o.key) > 8 && len(o.value) == 0 && !o.deleted }

// follows reports whether the row belongs to a list that begins with first.
func (o *op) follows(first *op) bool {
	return o.posting() && len(o.key) == len(first.key) && o.key[:len(o.key)-8] == first.key[:len(first.key)-8]
}

// number returns the last number of the key.
func (o *op) number() uint64 { return binary.BigEndian.Uint64(o.bytes()[len(o.key)-8:]) }
