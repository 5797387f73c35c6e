package log

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrTree means that the stored hashes of a Merkle tree contradict each other.
var ErrTree = errors.New("log: the stored merkle hashes contradict each other")

// RightEdge is the right edge of a Merkle tree in memory: the roots of the complete subtrees that make up the
// tree, from left to right. Leaves are appended to it without reading a stored hash. The zero value is the empty
// tree.
type RightEdge struct {
	size  uint64
	roots []tlog.Hash
}

// Size returns the number of leaves.
func (e *RightEdge) Size() uint64 { return e.size }

// Copy makes e a copy of other, in the memory that e has.
func (e *RightEdge) Copy(other *RightEdge) {
	e.size, e.roots = other.size, append(e.roots[:0], other.roots...)
}

// Append adds leaf, an RFC 6962 leaf hash. It appends to dst the hashes to store for it: the leaf, then the root of
// each subtree that the leaf completes. Their indexes start at FirstHash of the size before.
func (e *RightEdge) Append(dst []tlog.Hash, leaf [32]byte) ([]tlog.Hash, error) {
	if e.size >= maxTree {
		return nil, fmt.Errorf("%w: leaf %d", ErrProof, e.size)
	}
	h := tlog.Hash(leaf)
	dst = append(dst, h)
	last := len(e.roots)
	for n := e.size; n&1 != 0; n >>= 1 { // the subtrees that end here have the levels of the trailing ones
		last--
		h = tlog.NodeHash(e.roots[last], h)
		dst = append(dst, h)
	}
	e.roots = append(e.roots[:last], h)
	e.size++
	return dst, nil
}

// Root returns the RFC 6962 tree hash. The root of no leaves is SHA-256 of the empty string.
func (e *RightEdge) Root() [32]byte {
	last := len(e.roots) - 1
	if last < 0 {
		return sha256.Sum256(nil)
	}
	root := e.roots[last]
	for _, left := range slices.Backward(e.roots[:last]) {
		root = tlog.NodeHash(left, root)
	}
	return root
}
