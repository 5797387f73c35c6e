package fsm

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// Item reads event seq from the log.
func (d *Derived) Item(seq uint64) (projections.Item, error) {
	r := itemReader{d: d}
	return r.item(seq)
}

// Items returns a function that reads events, for use by one goroutine. It decodes an entry once for all events
// of it that are read in a row.
func (d *Derived) Items() func(seq uint64) (projections.Item, error) {
	r := &itemReader{d: d}
	return r.item
}

// Events is Items for readers that need neither the place nor the digest of an event.
func (d *Derived) Events() func(seq uint64) (event.Event, error) {
	r := &itemReader{d: d}
	return r.read
}

// itemReader reads events and keeps the entry of the last one, as far as it pays:
//
//	the first event of an entry    one event is cut out and copied, the entry is not kept
//	the second event of it         the entry is copied and decoded
//	any further event of it        nothing is read
//
// So neighbours cost one decoded entry, and events of as many entries copy no entry at all.
type itemReader struct {
	d     *Derived
	at    location   // of the last entry
	term  uint64     // of it
	raw   int64      // the proposer's clock in its pack
	whole bool       // pack is decoded
	pack  event.Pack // of it
}

func (r *itemReader) item(seq uint64) (projections.Item, error) {
	ev, err := r.read(seq)
	if err != nil {
		return projections.Item{}, err
	}
	return projections.Item{
		Seq:        seq,
		Index:      r.at.index,
		Term:       r.term,
		RawTime:    r.raw,
		LogTime:    r.at.logTime,
		Kind:       ev.Kind,
		Event:      ev,
		PayloadSHA: sha256.Sum256(ev.Payload),
	}, nil
}

func (r *itemReader) read(seq uint64) (event.Event, error) {
	if !r.at.holds(seq) {
		return r.cut(seq)
	}
	if err := r.decode(); err != nil {
		return event.Event{}, err
	}
	offset := seq - r.at.first
	if offset >= uint64(len(r.pack.Events)) {
		return event.Event{}, r.missing(seq, len(r.pack.Events))
	}
	return r.pack.Events[offset], nil
}

// missing is the error of a place row that contradicts the log.
func (r *itemReader) missing(seq uint64, events int) error {
	return fmt.Errorf("%w: %d, entry %d has %d events", ErrNoEvent, seq, r.at.index, events)
}

// cut finds the entry of an event and copies that event.
func (r *itemReader) cut(seq uint64) (ev event.Event, err error) {
	at, err := r.d.locate(seq)
	if err != nil {
		return ev, err
	}
	r.at, r.whole, r.pack = at, false, event.Pack{}
	err = r.d.src.With(at.index, func(e log.Entry) error {
		n, raw, err := event.PeekCount(e.Data)
		offset := int(seq - at.first)
		if err == nil && offset >= n {
			return r.missing(seq, n)
		}
		if err == nil {
			ev, err = event.EventAt(e.Data, offset)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		r.term, r.raw, ev.Payload = e.Term, raw, bytes.Clone(ev.Payload)
		return nil
	})
	if err != nil {
		r.at = location{}
	}
	return ev, err
}

// decode reads the whole entry, once.
func (r *itemReader) decode() error {
	if r.whole {
		return nil
	}
	e, err := r.d.src.Entry(r.at.index)
	if err != nil {
		return err
	}
	if r.pack, err = event.DecodePack(e.Data); err != nil {
		return fmt.Errorf("entry %d: %w", e.Index, err)
	}
	r.whole = true
	return nil
}
