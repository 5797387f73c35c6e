package fsm

import (
	"crypto/sha256"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// items numbers and dates the events of an entry and moves the cursor past it.
func (c *Cursor) items(e log.Entry) ([]projections.Item, error) {
	if e.Index <= c.Index {
		return nil, fmt.Errorf("%w: entry %d after %d", log.ErrGap, e.Index, c.Index)
	}
	c.Index, c.Term = e.Index, e.Term
	if e.Type != raft.LogCommand {
		return nil, nil
	}
	pack, err := event.DecodePack(e.Data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	c.LogTime = timeOf(c.LogTime, c.Seq == 0, pack)
	out := make([]projections.Item, len(pack.Events))
	for i, ev := range pack.Events {
		if !ev.Kind.Known() {
			return nil, fmt.Errorf("entry %d event %d: %w: %d", e.Index, i, projections.ErrUnknownKind, ev.Kind)
		}
		c.Seq++
		out[i] = ItemOf(e, pack, c.Seq, i)
		out[i].LogTime = c.LogTime
	}
	return out, nil
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
	items   []projections.Item // their events
	cur     Cursor             // position after them
}

// readBatch reads the entries after a cursor from the log, about maxBytes of them but at least one, and decodes,
// numbers and dates their events. There must be an entry: target is committed.
func readBatch(src *log.Store, at Cursor, target uint64, maxBytes int) (*batch, error) {
	b := &batch{cur: at}
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
		items, err := b.cur.items(e)
		if err != nil {
			return nil, err
		}
		b.items = append(b.items, items...)
	}
	return b, nil
}
