package fsm

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog" // only for the type of a hash; package log owns the tree

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// hashReader reads stored Merkle hashes for the Merkle helpers of package log.
type hashReader struct{ s projections.Store }

func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		b, err := r.s.Get(hashKey(x))
		if err != nil {
			return nil, err
		}
		if len(b) != len(out[i]) {
			return nil, fmt.Errorf("fsm: stored hash %d is missing", x)
		}
		copy(out[i][:], b)
	}
	return out, nil
}

// loadEdge reads the right edge of the Merkle tree after event seq. Rows that are missing, that contradict each other,
// or that contradict the last event in the log, are damage.
func (d *Derived) loadEdge(v *View, seq uint64) (err error) {
	d.edge, err = log.LoadEdge(seq, hashReader{v})
	if err == nil && seq > 0 {
		err = d.checkLast(seq)
	}
	if err != nil && Rebuildable(err) && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// checkLast compares the stored leaf of event seq with the event in the log.
func (d *Derived) checkLast(seq uint64) error {
	it, err := d.Item(seq)
	if err != nil {
		return err
	}
	leaf, err := d.Leaf(seq)
	if err != nil {
		return err
	}
	if leaf != it.Leaf().Hash() {
		return fmt.Errorf("%w: the leaf of event %d is not that of the log", ErrCount, seq)
	}
	return nil
}

// appendLeaf writes the hashes of the next event, and keeps its leaf for recent.
func (d *Derived) appendLeaf(tx *txn, it *projections.Item) error {
	n := it.Seq - 1
	if d.next.Size() != n {
		return fmt.Errorf("event %d: merkle: %w: the tree has %d leaves", it.Seq, ErrCount, d.next.Size())
	}
	leaf := it.Leaf().Hash()
	var room [8]tlog.Hash
	hashes, err := d.next.Append(room[:0], leaf)
	if err != nil {
		return fmt.Errorf("event %d: merkle: %w", it.Seq, err)
	}
	at := log.FirstHash(n)
	for i := range hashes {
		tx.Set(hashKey(at+int64(i)), hashes[i][:])
	}
	d.leaves = append(d.leaves, leaf)
	return nil
}
