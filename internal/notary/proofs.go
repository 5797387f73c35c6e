package notary

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

// Bounds of what is read at a time. A bundle of leaves reads up to 256 payloads for their digests, and a bundle of a
// record up to so many events. Neither takes the places of the other.
const (
	entriesAtOnce = 4
	bundlesAtOnce = 4
)

// places holds one element for each answer that is read now.
type places chan struct{}

// enter takes a place, or returns a problem.
func (s places) enter() (leave func(), p *wire.Problem) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	default:
		return nil, wire.NewProblem(wire.CodeOverloaded, "too many bundles are read").WithRetry(retryAfter)
	}
}

// Tile returns the first width hashes of a tile. It implements api.Evidence.
func (n *Notary) Tile(level uint8, number uint64, width int) ([]byte, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	b, err := n.Tree.Tile(log.Tile{Level: level, N: number}, width)
	return b, absent(err)
}

// Entries returns the first width leaves of a bundle, each behind its length in two bytes. It implements api.Evidence.
func (n *Notary) Entries(ctx context.Context, number uint64, width int) ([]byte, error) {
	hashes, err := n.Tile(0, number, width)
	if err != nil {
		return nil, err
	}
	leave, p := n.entries.enter()
	if p != nil {
		return nil, p
	}
	defer leave()
	read, out := n.Tree.Items(), make([]byte, 0, width*(2+evidence.LeafSize))
	for i := range width {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		it, err := read(number*log.TileWidth + uint64(i) + 1)
		if err != nil {
			return nil, err
		}
		leaf := it.Leaf()
		if leaf.Hash() != [32]byte(hashes[32*i:]) {
			return nil, fmt.Errorf("event %d in the log has another leaf than the tree", it.Seq)
		}
		out = leaf.Append(binary.BigEndian.AppendUint16(out, evidence.LeafSize))
	}
	return out, nil
}

// Inclusion proves that event seq is in the tree of the first size events. It implements api.Evidence.
func (n *Notary) Inclusion(seq, size uint64) (*wire.InclusionAnswer, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	proof, err := n.Tree.Inclusion(seq, size)
	if err != nil {
		return nil, absent(err)
	}
	root, err := n.Tree.Root(size)
	if err != nil {
		return nil, absent(err)
	}
	it, err := n.Tree.Items()(seq)
	if err != nil {
		return nil, err
	}
	leaf := it.Leaf().Hash()
	return &wire.InclusionAnswer{Seq: seq, Size: size, LeafHash: hex.EncodeToString(leaf[:]),
		Root: hex.EncodeToString(root[:]), Hashes: texts(proof)}, nil
}

// Consistency proves that the first to events begin with the first from events. It implements api.Evidence.
func (n *Notary) Consistency(from, to uint64) (*wire.ConsistencyAnswer, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	proof, err := n.Tree.Consistency(from, to)
	if err != nil {
		return nil, absent(err)
	}
	before, err := n.Tree.Root(from)
	if err != nil {
		return nil, absent(err)
	}
	after, err := n.Tree.Root(to)
	if err != nil {
		return nil, absent(err)
	}
	return &wire.ConsistencyAnswer{From: from, To: to, FromRoot: hex.EncodeToString(before[:]),
		ToRoot: hex.EncodeToString(after[:]), Hashes: texts(proof)}, nil
}

// absent turns events that are not folded here into a 404.
func absent(err error) error {
	if errors.Is(err, fsm.ErrNoEvent) {
		return api.ErrNotFound
	}
	return err
}

func texts(hashes [][32]byte) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = hex.EncodeToString(h[:])
	}
	return out
}
