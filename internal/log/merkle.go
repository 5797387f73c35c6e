package log

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof means that a Merkle proof was requested outside of the tree.
var ErrProof = errors.New("log: merkle proof")

// FirstHash returns the stored-hash index of leaf n.
func FirstHash(n uint64) int64 { return tlog.StoredHashIndex(0, int64(n)) }

// Root returns the RFC 6962 tree hash of the first size leaves. The root of no leaves is SHA-256 of the empty
// string.
func Root(size uint64, r tlog.HashReader) ([32]byte, error) {
	if size > maxTree {
		return [32]byte{}, fmt.Errorf("%w: size %d", ErrProof, size)
	}
	return tlog.TreeHash(int64(size), r)
}

// Edge returns the roots of the complete subtrees that make up the tree of the first size leaves, from left to
// right, one for each bit that is set in size. They are all that is needed to append leaves.
func Edge(size uint64, r tlog.HashReader) ([][32]byte, error) {
	if size > maxTree {
		return nil, fmt.Errorf("%w: size %d", ErrProof, size)
	}
	var indexes []int64
	for level, n := range subtrees(size) {
		indexes = append(indexes, tlog.StoredHashIndex(level, n))
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	edge, err := r.ReadHashes(indexes)
	return plain(edge), err
}

// subtrees yields the complete subtrees of the tree of size leaves from left to right: the level of each, and its
// number among the subtrees of that level.
func subtrees(size uint64) iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for done, level := uint64(0), bits.Len64(size)-1; level >= 0; level-- {
			if width := uint64(1) << level; size&width != 0 {
				if !yield(level, int64(done>>level)) {
					return
				}
				done += width
			}
		}
	}
}

// Inclusion returns a proof that leaf n (from 0) is in the tree of size leaves.
func Inclusion(n, size uint64, r tlog.HashReader) ([][32]byte, error) {
	if n >= size || size > maxTree {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrProof, n, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(n), r)
	return plain(p), err
}

// Consistency returns a proof that the tree of old leaves is a prefix of the tree of size leaves. old must be
// at least 1.
func Consistency(old, size uint64, r tlog.HashReader) ([][32]byte, error) {
	if old == 0 || old > size || size > maxTree {
		return nil, fmt.Errorf("%w: size %d to %d", ErrProof, old, size)
	}
	p, err := tlog.ProveTree(int64(size), int64(old), r)
	return plain(p), err
}

// maxTree keeps stored-hash indexes, about twice the size, inside int64.
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
