package fsm

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// items appends the events of an entry to a list, numbered and dated, and moves the cursor past the entry. It leaves
// the hashes of the payloads to prepare.
func (c *Cursor) items(to []projections.Item, e log.Entry) ([]projections.Item, error) {
	if e.Index <= c.Index {
		return nil, fmt.Errorf("%w: entry %d after %d", log.ErrGap, e.Index, c.Index)
	}
	c.Index, c.Term = e.Index, e.Term
	if e.Type != raft.LogCommand {
		return to, nil
	}
	pack, err := event.DecodePack(e.Data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	c.LogTime = timeOf(c.LogTime, c.Seq == 0, pack)
	to = slices.Grow(to, len(pack.Events))
	for i, ev := range pack.Events {
		if !ev.Kind.Known() {
			return nil, fmt.Errorf("entry %d event %d: %w: %d", e.Index, i, projections.ErrUnknownKind, ev.Kind)
		}
		c.Seq++
		to = append(to, projections.Item{Seq: c.Seq, Index: e.Index, Term: e.Term, RawTime: pack.ProposedAt,
			LogTime: c.LogTime, Kind: ev.Kind, Event: ev})
	}
	return to, nil
}

// ItemOf returns event seq, which is at offset in the pack of entry e. It leaves LogTime zero.
func ItemOf(e log.Entry, pack event.Pack, seq uint64, offset int) projections.Item {
	ev := pack.Events[offset]
	return projections.Item{Seq: seq, Index: e.Index, Term: e.Term, RawTime: pack.ProposedAt, Kind: ev.Kind, Event: ev,
		PayloadSHA: sha256.Sum256(ev.Payload)}
}

// batch is a run of entries that is folded at once.
type batch struct {
	entries []log.Entry
	items   []projections.Item   // their events
	cur     Cursor               // position after them
	memory  []projections.Memory // for what a generation prepares, one for each item

	ready chan struct{} // closed when all items are prepared, in a pipeline
	left  atomic.Int64  // items that are not prepared yet
	units int           // of the pipeline's room
}

// batches hold the memory of batches that a generation has folded.
var batches = sync.Pool{New: func() any { return &batch{} }}

// newBatch returns an empty batch after a cursor.
func newBatch(at Cursor) *batch {
	b, _ := batches.Get().(*batch)
	b.cur = at
	return b
}

// release gives the memory of a batch to the next one. Nobody may use the batch, its items and what was prepared for
// them any more.
func (b *batch) release() {
	clear(b.entries)
	clear(b.items)
	*b = batch{entries: b.entries[:0], items: b.items[:0], memory: b.memory[:0]}
	batches.Put(b)
}

// bytes returns about the memory that the batch takes once it is prepared.
func (b *batch) bytes() int {
	n := len(b.items) * (itemBytes + preparedBytes)
	for i := range b.items {
		n += len(b.items[i].Event.Payload)
	}
	return n
}

// hash sets the payload hashes of items that do not have them yet.
func hash(items []projections.Item) {
	for i := range items {
		if it := &items[i]; it.PayloadSHA == [32]byte{} {
			it.PayloadSHA = sha256.Sum256(it.Event.Payload)
		}
	}
}

// readBatch reads the entries after the cursor of an empty batch from the log into it, about maxBytes of them but at
// least one, and decodes, numbers and dates their events. There must be an entry: target is committed.
func readBatch(b *batch, src *log.Store, target uint64, maxBytes int) (*batch, error) {
	at := b.cur
	_, err := src.Read(at.Index+1, maxBytes, func(e log.Entry) error {
		b.entries = append(b.entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(b.entries) == 0 {
		return nil, fmt.Errorf("%w: nothing after entry %d of %d", log.ErrGap, at.Index, target)
	}
	if b.entries[0].Index != at.Index+1 {
		return nil, fmt.Errorf("%w: entry %d after %d", log.ErrGap, b.entries[0].Index, at.Index)
	}
	for _, e := range b.entries {
		if b.items, err = b.cur.items(b.items, e); err != nil {
			return nil, err
		}
	}
	return b, nil
}
