package fsm

import (
	"slices"
	"sync"

	"github.com/recount-ledger/recount/internal/projections"
)

// head holds the newest entries that the fold of derived/ has decoded and hashed, so that a generation which
// follows closely does not do it again. It is bounded in bytes and lost at every start. A generation that is
// further behind reads the log itself.
type head struct {
	mu      sync.Mutex
	limit   int // bytes; 0 holds nothing
	bytes   int
	dropped int       // entries[:dropped] are no longer held
	entries []decoded // consecutive
}

// held returns the entries that are held. h.mu must be held.
func (h *head) held() []decoded { return h.entries[h.dropped:] }

// headBytes bounds the memory of the newest decoded entries.
const headBytes = 4 << 20

// decoded is one entry with its events. Neither is ever modified.
type decoded struct {
	before, after Cursor
	items         []projections.Item
	bytes         int // of memory
}

// push adds the entries of a batch that began at a cursor and drops the oldest ones beyond the limit.
func (h *head) push(before Cursor, b *batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.entries); n > h.dropped && h.entries[n-1].after != before {
		h.entries, h.dropped, h.bytes = nil, 0, 0
	}
	items := b.items
	for _, e := range b.entries {
		d := decoded{before: before, after: before}
		for len(d.items) < len(items) && items[len(d.items)].Index == e.Index {
			d.items = items[: len(d.items)+1 : len(d.items)+1]
		}
		items = items[len(d.items):]
		d.after.Index, d.after.Term = e.Index, e.Term
		if n := len(d.items); n > 0 {
			d.after.Seq, d.after.LogTime = d.items[n-1].Seq, d.items[n-1].LogTime
		}
		d.bytes = len(e.Data) + (1+len(d.items))*itemBytes
		h.entries, h.bytes = append(h.entries, d), h.bytes+d.bytes
		before = d.after
	}
	for ; h.bytes > h.limit; h.dropped++ {
		h.bytes -= h.entries[h.dropped].bytes
		h.entries[h.dropped] = decoded{}
	}
	if h.dropped > 64 && h.dropped > len(h.entries)/2 {
		n := copy(h.entries, h.held())
		clear(h.entries[n:])
		h.entries, h.dropped = h.entries[:n], 0
	}
}

// take returns the held entries after a cursor up to entry target, about maxBytes of them but at least one. It
// returns nil if the entry after the cursor is not held, or if the cursor numbers events in another way. The
// items are copies, because a generation adds what it finds in them.
func (h *head) take(at Cursor, target uint64, maxBytes int) *batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held()
	if len(held) == 0 || at.Index < held[0].before.Index || at.Index >= min(target, held[len(held)-1].after.Index) {
		return nil
	}
	held = held[at.Index-held[0].before.Index:]
	if held[0].before != at {
		return nil
	}
	n, size := 0, 0
	for n < len(held) && held[n].before.Index < target && (n == 0 || size+held[n].bytes <= maxBytes) {
		size += held[n].bytes
		n++
	}
	b := newBatch(held[n-1].after)
	b.items = slices.Grow(b.items, int(b.cur.Seq-at.Seq))
	for _, d := range held[:n] {
		b.items = append(b.items, d.items...)
	}
	return b
}
