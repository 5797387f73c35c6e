package fsm

import (
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// tileReader reads tiles of Merkle hashes from a view.
func tileReader(s projections.Store) func(log.Tile) ([]byte, error) {
	return func(t log.Tile) ([]byte, error) { return s.Get(tileKey(t)) }
}

// met treats tiles that contradict each other, or are not there, as damage of the store.
func (d *Derived) met(err error) error {
	if errors.Is(err, log.ErrTree) && !errors.Is(err, ErrDamaged) {
		return d.store.note(err)
	}
	return err
}

// loadEdge reads the right edge of the Merkle tree after event seq. Rows that are missing, that do not give root, or
// that contradict the last event in the log, are damage.
func (d *Derived) loadEdge(v *View, seq uint64, root [32]byte) (err error) {
	if seq == 0 {
		return nil
	}
	d.edge, err = log.LoadTileEdge(seq, root, tileReader(v))
	if err == nil {
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

// appendLeaf appends the next event to the tree, writes the tiles that it fills, and keeps its leaf for recent.
func (d *Derived) appendLeaf(tx *txn, it *projections.Item) error {
	n := it.Seq - 1
	if d.next.Size() != n {
		return fmt.Errorf("event %d: merkle: %w: the tree has %d leaves", it.Seq, ErrCount, d.next.Size())
	}
	leaf := it.Leaf().Hash()
	if err := d.next.Append(leaf, tx.setTile); err != nil {
		return fmt.Errorf("event %d: merkle: %w", it.Seq, err)
	}
	d.leaves = append(d.leaves, leaf)
	return nil
}

func (t *txn) setTile(tile log.Tile, hashes []byte) { t.Set(tileKey(tile), hashes) }
