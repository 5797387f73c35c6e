package fsm

import (
	"errors"
	"fmt"
	"sort"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// Root returns the RFC 6962 Merkle tree hash of the first size events.
func (d *Derived) Root(size uint64) ([32]byte, error) {
	if size > d.pos.get().Seq {
		return [32]byte{}, fmt.Errorf("%w: %d of %d", ErrNoEvent, size, d.pos.get().Seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	root, err := log.Root(size, log.TileHashes(tileReader(v)))
	return root, d.met(err)
}

// Edge returns the roots of the complete subtrees of the first size events, from left to right.
func (d *Derived) Edge(size uint64) ([][32]byte, error) {
	if size > d.pos.get().Seq {
		return nil, fmt.Errorf("%w: %d of %d", ErrNoEvent, size, d.pos.get().Seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	edge, err := log.Edge(size, log.TileHashes(tileReader(v)))
	return edge, d.met(err)
}

// Leaf returns the Merkle leaf hash of event seq.
func (d *Derived) Leaf(seq uint64) (leaf [32]byte, err error) {
	if seq == 0 || seq > d.pos.get().Seq {
		return leaf, fmt.Errorf("%w: %d", ErrNoEvent, seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	hashes, err := log.TileHashes(tileReader(v)).ReadHashes([]int64{log.FirstHash(seq - 1)})
	if err == nil {
		leaf = hashes[0]
	}
	return leaf, d.met(err)
}

// SeqOf returns the number of the first event of a folded entry near the end of the log.
func (d *Derived) SeqOf(index uint64) (seq uint64, err error) {
	v := d.store.Snapshot()
	defer v.Close()
	err = fmt.Errorf("%w in entry %d", ErrNoEvent, index)
	scanErr := v.Scan([]byte{spaceSeq}, []byte{spaceSeq + 1}, true, func(k, val []byte) bool {
		at, bad := decodeLocation(k, val)
		switch {
		case bad != nil:
			err = d.store.note(bad)
			return false
		case at.index == index:
			seq, err = at.first, nil
		}
		return at.index > index
	})
	return seq, errors.Join(scanErr, err)
}

// Effect returns the effect of the operator's event seq of kind k.
func (d *Derived) Effect(k event.Kind, seq uint64) (projections.Effect, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.EffectOf(prefixedStore{v, spaceControl}, k, seq)
}

// OperatorSeqs lists the events from seq on that are not submissions, at most limit.
func (d *Derived) OperatorSeqs(from uint64, limit int) ([]uint64, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.OperatorSeqs(prefixedStore{v, spaceControl}, from, limit)
}

// Submissions returns the number of submissions among the first seq events.
func (d *Derived) Submissions(seq uint64) (uint64, error) {
	v := d.store.Snapshot()
	defer v.Close()
	d.countMu.Lock()
	defer d.countMu.Unlock()
	lo, hi := min(seq, d.counted), max(seq, d.counted)
	n, err := projections.OperatorsBetween(prefixedStore{v, spaceControl}, lo+1, hi)
	if err != nil {
		return 0, err
	}
	if seq < d.counted {
		return seq - (d.operators - n), nil
	}
	d.counted, d.operators = seq, d.operators+n
	return seq - d.operators, nil
}

// Locate returns the index of the entry that holds event seq, and the event's offset in it.
func (d *Derived) Locate(seq uint64) (index uint64, offset int, err error) {
	at, err := d.locate(seq)
	if err != nil {
		return 0, 0, err
	}
	return at.index, int(seq - at.first), nil
}

// locate returns the place of the entry that holds event seq.
func (d *Derived) locate(seq uint64) (at location, err error) {
	v := d.store.present()
	err = fmt.Errorf("%w: %d", ErrNoEvent, seq)
	scanErr := v.Scan([]byte{spaceSeq}, seqKey(seq+1), true, func(k, val []byte) bool {
		found, bad := decodeLocation(k, val)
		switch {
		case bad != nil:
			err = d.store.note(bad)
		case found.holds(seq):
			at, err = found, nil
		}
		return false
	})
	return at, errors.Join(scanErr, err)
}

// ControlDigest returns the digest of the control state as of event seq. It is zero before the first operator's
// event.
func (d *Derived) ControlDigest(seq uint64) ([32]byte, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.ControlDigestAt(prefixedStore{v, spaceControl}, seq)
}

// LoggedDigests returns the digests that leaders logged in events from seq on, at most limit.
func (d *Derived) LoggedDigests(from uint64, limit int) ([]projections.DigestRow, error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.StateDigests(prefixedStore{v, spaceControl}, from, 0, limit)
}

// LastDigest returns the last logged digest of a generation in the events up to to. ok is false if there is
// none.
func (d *Derived) LastDigest(generation uint32, to uint64) (row projections.DigestRow, ok bool, err error) {
	v := d.store.Snapshot()
	defer v.Close()
	return projections.LastStateDigest(prefixedStore{v, spaceControl}, generation, to)
}

// TermOpened returns the node that opened the term of event seq and wrote what its leader logged, or "" if the
// log does not say. Terms only grow along the log, and the first events of a term are Genesis and TermStart.
func (d *Derived) TermOpened(seq uint64) (node string, err error) {
	last, err := d.Item(seq)
	if err != nil {
		return "", err
	}
	var failed error
	first := uint64(sort.Search(int(seq), func(i int) bool {
		it, err := d.Item(uint64(i) + 1)
		failed = errors.Join(failed, err)
		return err != nil || it.Term >= last.Term
	})) + 1
	for ; failed == nil && first <= seq; first++ {
		it, err := d.Item(first)
		if err != nil || it.Kind != event.Genesis && it.Kind != event.TermStart {
			return "", err
		}
		if it.Kind == event.TermStart {
			_, m, err := it.Event.Message()
			if start, ok := m.(*event.TermStartV1); ok && err == nil {
				return start.Node, nil
			}
			return "", err
		}
	}
	return "", failed
}
