package fsm

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/recount-ledger/recount/internal/log"
)

// Inclusion returns a proof that event seq is in the tree of the first size events: the hashes from its leaf to
// the root, at most 64. It reads one or two tiles of each level. ErrNoEvent means that there are no such events,
// log.ErrProof that seq is not in that tree.
func (d *Derived) Inclusion(seq, size uint64) ([][32]byte, error) {
	if seq == 0 {
		return nil, fmt.Errorf("%w: %d", ErrNoEvent, seq)
	}
	return d.prove(size, func(r tlog.HashReader) ([][32]byte, error) { return log.Inclusion(seq-1, size, r) })
}

// Consistency returns a proof that the tree of the first size events begins with that of the first old ones.
// Errors are those of Inclusion.
func (d *Derived) Consistency(old, size uint64) ([][32]byte, error) {
	return d.prove(size, func(r tlog.HashReader) ([][32]byte, error) { return log.Consistency(old, size, r) })
}

func (d *Derived) prove(size uint64, proofOf func(tlog.HashReader) ([][32]byte, error)) ([][32]byte, error) {
	if size > d.pos.get().Seq {
		return nil, fmt.Errorf("%w: %d of %d", ErrNoEvent, size, d.pos.get().Seq)
	}
	v := d.store.Snapshot()
	defer v.Close()
	proof, err := proofOf(log.TileHashes(tileReader(v)))
	return proof, d.met(err)
}

// Tile returns the first width hashes of a tile of the tree, 32 bytes each. A tile that has fewer yet is
// ErrNoEvent.
func (d *Derived) Tile(t log.Tile, width int) ([]byte, error) {
	if have := log.TileWidthAt(t, d.pos.get().Seq); width > have {
		return nil, fmt.Errorf("%w: hash %d of tile %d of level %d, which has %d", ErrNoEvent, width, t.N, t.Level, have)
	}
	v := d.store.Snapshot()
	defer v.Close()
	data, err := v.Get(tileKey(t))
	if err == nil && len(data) < width*tlog.HashSize {
		err = fmt.Errorf("%w: tile %d of level %d has %d bytes", log.ErrTree, t.N, t.Level, len(data))
	}
	if err != nil {
		return nil, d.met(err)
	}
	return data[:width*tlog.HashSize], nil
}
