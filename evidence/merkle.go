package evidence

import (
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"
)

// maxTree is the largest tree. tlog counts leaves in an int64.
const maxTree = math.MaxInt64 / 4

// maxHashes is the largest number of hashes in a Merkle proof of a tree up to maxTree.
const maxHashes = 64

// CheckInclusion checks that a leaf with this RFC 6962 hash is leaf index, from 0, of the tree of size leaves
// with this root. Everything else is ErrProof.
func CheckInclusion(index, size uint64, leaf, root [32]byte, proof [][32]byte) error {
	if index >= size || size > maxTree {
		return fmt.Errorf("%w: leaf %d of %d", ErrProof, index, size)
	}
	if err := tlog.CheckRecord(hashes(proof), int64(size), root, int64(index), leaf); err != nil {
		return fmt.Errorf("%w: leaf %d of %d does not lead to the root", ErrProof, index, size)
	}
	return nil
}

// CheckConsistency checks that the tree of size leaves with root begins with the leaves of the tree of old leaves
// with oldRoot. old is at least 1: every tree begins with the empty one. Everything else is ErrProof.
func CheckConsistency(old, size uint64, oldRoot, root [32]byte, proof [][32]byte) error {
	if old == 0 || old > size || size > maxTree {
		return fmt.Errorf("%w: from %d to %d leaves", ErrProof, old, size)
	}
	if err := tlog.CheckTree(hashes(proof), int64(size), root, int64(old), oldRoot); err != nil {
		return fmt.Errorf("%w: %d and %d leaves do not belong to one tree", ErrProof, old, size)
	}
	return nil
}

func hashes(in [][32]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(in))
	for i, h := range in {
		out[i] = h
	}
	return out
}
