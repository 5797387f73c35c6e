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
