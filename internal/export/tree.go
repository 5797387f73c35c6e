package export

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
)

// tree computes the RFC 6962 tree hash of a growing list of leaves. It stores only the roots of the complete
// subtrees.
type tree struct {
	size  uint64
	roots [][32]byte // from left to right, one for each bit that is set in size
}

// treeAt continues from an edge.
func treeAt(e *Edge) (*tree, error) {
	if e == nil {
		return &tree{}, nil
	}
	t := &tree{size: e.Seq}
	for _, text := range e.Subtrees {
		h, err := hash(text)
		if err != nil {
			return nil, err
		}
		t.roots = append(t.roots, h)
	}
	if len(t.roots) != bits.OnesCount64(t.size) {
		return nil, fmt.Errorf("%w: %d subtrees of %d events", ErrFormat, len(t.roots), t.size)
	}
	if got := hex.EncodeToString(t.root()); got != e.Log {
		return nil, fmt.Errorf("the subtrees before the range hash to %s, not to the log digest %s", got, e.Log)
	}
	return t, nil
}

// add appends a leaf hash.
func (t *tree) add(leaf [32]byte) {
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.roots) - 1
		leaf = parent(t.roots[last], leaf)
		t.roots = t.roots[:last]
	}
	t.roots = append(t.roots, leaf)
	t.size++
}

// root returns the tree hash of the leaves so far.
func (t *tree) root() []byte {
	if len(t.roots) == 0 {
		sum := sha256.Sum256(nil)
		return sum[:]
	}
	last := len(t.roots) - 1
	root := t.roots[last]
	for _, left := range slices.Backward(t.roots[:last]) {
		root = parent(left, root)
	}
	return root[:]
}

func parent(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// hash parses 64 lower-case hex digits.
func hash(text string) (h [32]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != text {
		return h, fmt.Errorf("%w: %.80q is not a SHA-256 in lower-case hex", ErrFormat, text)
	}
	return [32]byte(b), nil
}
