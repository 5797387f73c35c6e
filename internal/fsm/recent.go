package fsm

import (
	"sync"

	"github.com/recount-ledger/recount/internal/projections"
)

// placesHeld is the number of events whose places stay in memory, enough for a generation that follows closely.
const placesHeld = 8192

// place is the position of an event in the log: its entry and its Merkle leaf.
type place struct {
	seq, index uint64
	leaf       [32]byte
}

// recentPlaces holds the places of the last events that derived/ has folded since it was opened.
type recentPlaces struct {
	mu sync.RWMutex
	at []place // event seq is at seq modulo the length
}

func newRecentPlaces(n int) recentPlaces { return recentPlaces{at: make([]place, n)} }

// push adds the events of a batch, which are committed, and their leaves.
func (r *recentPlaces) push(items []projections.Item, leaves [][32]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := max(0, len(items)-len(r.at)); i < len(items); i++ {
		seq := items[i].Seq
		r.at[seq%uint64(len(r.at))] = place{seq, items[i].Index, leaves[i]}
	}
}

// find returns the place of an event. ok is false if it is not held.
func (r *recentPlaces) find(seq uint64) (p place, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p = r.at[seq%uint64(len(r.at))]
	return p, p.seq == seq && seq > 0
}

// placeOf returns the place of event seq, from memory or from the rows.
func (d *Derived) placeOf(seq uint64) (place, error) {
	if p, ok := d.recent.find(seq); ok {
		return p, nil
	}
	index, _, err := d.Locate(seq)
	if err != nil {
		return place{}, err
	}
	leaf, err := d.Leaf(seq)
	return place{seq, index, leaf}, err
}

// endsHeld is the number of entries whose last events have their digests in memory, a few seconds of a busy ledger. Of
// one batch, the last endsOfBatch entries have.
const (
	endsHeld    = 512
	endsOfBatch = 8
)

// end is a digest as of the last event of an entry.
type end struct {
	seq    uint64
	digest [32]byte
}

// recentEnds holds digests as of the last events of entries that were folded since the store was opened. The voters
// ask each other for the digests at such positions several times a second. To read them from the rows takes a fold
// that has just batched its rows out of its step.
type recentEnds struct {
	mu   sync.RWMutex
	ring [endsHeld]end
	next int // where the next one goes
}

// push adds the ends of a batch, in the order of the log.
func (r *recentEnds) push(ends []end) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range ends {
		r.ring[r.next] = e
		r.next = (r.next + 1) % len(r.ring)
	}
}

// find returns the digest as of event seq. ok is false if it is not held.
func (r *recentEnds) find(seq uint64) (digest [32]byte, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range r.ring {
		e := r.ring[(r.next-1-i+2*len(r.ring))%len(r.ring)]
		if e.seq <= seq {
			return e.digest, e.seq == seq && seq > 0
		}
	}
	return digest, false
}

// endsIn returns how many entries end in items.
func endsIn(items []projections.Item) (n int) {
	for i := range items {
		if endsEntry(items, i) {
			n++
		}
	}
	return n
}

// endsEntry reports whether item i is the last one of its entry. Batches hold whole entries.
func endsEntry(items []projections.Item, i int) bool {
	return i+1 == len(items) || items[i+1].Index != items[i].Index
}
