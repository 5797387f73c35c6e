package evidence

import (
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
)

// Leaf is the header of one event, to which the Merkle tree commits. Its index in the tree is Seq-1. Append
// encodes it in LeafSize bytes, and Hash is its RFC 6962 leaf hash.
type Leaf = event.Leaf

// LeafSize is the length in bytes of an encoded leaf.
const LeafSize = event.LeafSize

// ParseLeaf reads the LeafSize bytes of a leaf. An unknown format, the seq 0 and another length are ErrFormat.
func ParseLeaf(b []byte) (Leaf, error) {
	l, err := event.ParseLeaf(b)
	if err != nil {
		return Leaf{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return l, nil
}
