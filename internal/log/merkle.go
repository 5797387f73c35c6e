package log

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof means that a Merkle proof does not hold, or was asked for outside the tree.
var ErrProof = errors.New("log: merkle proof")

// HashStore keeps the hashes of the ledger's RFC 6962 tree under tlog's stored-hash numbers.
type HashStore interface {
	tlog.HashReader
	// WriteHashes stores hashes under consecutive numbers from first on.
	WriteHashes(first int64, hashes []tlog.Hash) error
}

// AppendLeaf returns the hashes to store when leaf (an RFC 6962 leaf hash) becomes leaf number n, counted from 0; their
// numbers start at FirstHash(n).
func AppendLeaf(n uint64, leaf [32]byte, read tlog.HashReader) ([]tlog.Hash, error) {
	if n >= maxTree {
		return nil, fmt.Errorf("%w: leaf %d", ErrProof, n)
	}
	return tlog.StoredHashesForRecordHash(int64(n), leaf, read)
}

// FirstHash is the stored-hash number of leaf n.
func FirstHash(n uint64) int64 { return tlog.StoredHashIndex(0, int64(n)) }

// AddLeaf appends leaf as number n to st.
func AddLeaf(n uint64, leaf [32]byte, st HashStore) error {
	hashes, err := AppendLeaf(n, leaf, st)
	if err != nil {
		return err
	}
	return st.WriteHashes(FirstHash(n), hashes)
}

// Root is the RFC 6962 tree hash of the first size leaves; SHA-256 of nothing for none.
func Root(size uint64, r tlog.HashReader) ([32]byte, error) {
	if size > maxTree {
		return [32]byte{}, fmt.Errorf("%w: size %d", ErrProof, size)
	}
	return tlog.TreeHash(int64(size), r)
}

// Edge is the roots of the complete subtrees that the tree of the first size leaves consists of, from left to right, one for
// each bit that is set in size. They suffice to append leaves without reading the ones before.
func Edge(size uint64, r tlog.HashReader) ([][32]byte, error) {
	if size > maxTree {
		return nil, fmt.Errorf("%w: size %d", ErrProof, size)
	}
	var indexes []int64
	for done, level := uint64(0), bits.Len64(size)-1; level >= 0; level-- {
		if width := uint64(1) << level; size&width != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, int64(done>>level)))
			done += width
		}
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	edge, err := r.ReadHashes(indexes)
	return plain(edge), err
}

// Inclusion proves that leaf n (from 0) is in the tree of size leaves.
func Inclusion(n, size uint64, r tlog.HashReader) ([][32]byte, error) {
	if n >= size || size > maxTree {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrProof, n, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(n), r)
	return plain(p), err
}

// Consistency proves that the tree of old leaves is a prefix of the one of size leaves; old is at least 1.
func Consistency(old, size uint64, r tlog.HashReader) ([][32]byte, error) {
	if old == 0 || old > size || size > maxTree {
		return nil, fmt.Errorf("%w: size %d to %d", ErrProof, old, size)
	}
	p, err := tlog.ProveTree(int64(size), int64(old), r)
	return plain(p), err
}

// CheckInclusion checks a proof of Inclusion against the root of the tree.
func CheckInclusion(n, size uint64, leaf, root [32]byte, proof [][32]byte) error {
	if n >= size || size > maxTree {
		return fmt.Errorf("%w: leaf %d of %d", ErrProof, n, size)
	}
	if err := tlog.CheckRecord(hashes(proof), int64(size), root, int64(n), leaf); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

// CheckConsistency checks a proof of Consistency against both roots.
func CheckConsistency(old, size uint64, oldRoot, root [32]byte, proof [][32]byte) error {
	if old == 0 || old > size || size > maxTree {
		return fmt.Errorf("%w: size %d to %d", ErrProof, old, size)
	}
	if err := tlog.CheckTree(hashes(proof), int64(size), root, int64(old), oldRoot); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

// maxTree keeps stored-hash numbers, about twice the size, inside int64.
const maxTree = math.MaxInt64 / 4

func plain(in []tlog.Hash) [][32]byte {
	out := make([][32]byte, len(in))
	for i, h := range in {
		out[i] = h
	}
	return out
}

func hashes(in [][32]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(in))
	for i, h := range in {
		out[i] = h
	}
	return out
}
