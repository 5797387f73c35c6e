package notary

import (
	"context"
	"errors"
	"slices"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// Folds reads the generations that have answered clients.
type Folds interface {
	// Answered lists those that are kept on this node, the active one first.
	Answered() []uint32
	// Judged returns the outcome of a submission in a generation, seq 0 for the one that stands, and the earlier
	// submissions that it depends on. The error is projections.ErrNotFound if the generation has none.
	Judged(generation uint32, pcsID string, seq uint64) (projections.Stated, []projections.Stated, error)
	// Needed lists the operators' events up to upTo that decide how a submission is judged.
	Needed(j projections.Judged, upTo uint64) []uint64
}

// Bundle returns the receipt of a submission with everything that is needed to judge it again. With seq 0 it is the
// one that stands, in the active generation or else in the one before. It implements api.Evidence.
func (n *Notary) Bundle(ctx context.Context, pcsID string, seq uint64) ([]byte, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	seq, err := n.standing(pcsID, seq)
	if err != nil {
		return nil, err
	}
	g := gathering{n: n, read: n.Tree.Items()}
	if g.bundle.Receipt, g.shown, err = n.receipt(ctx, pcsID, seq); err != nil {
		return nil, err
	}
	leave, p := n.bundles.enter() // only now, because the receipt may wait for its checkpoint
	if p != nil {
		return nil, p
	}
	defer leave()
	generations := n.Folds.Answered()
	if !slices.Contains(generations, g.bundle.Receipt.Generation) {
		return nil, wire.NewProblem(wire.CodeNotReady, "another generation was activated meanwhile").WithRetry(retryAfter)
	}
	for _, generation := range generations {
		if err := g.generation(ctx, generation, pcsID); err != nil {
			return nil, err
		}
	}
	if err := g.events(ctx); err != nil {
		return nil, err
	}
	return g.bundle.Text(), nil
}

// standing returns the submission that stands for a pcs_id in the first generation that has one.
func (n *Notary) standing(pcsID string, seq uint64) (uint64, error) {
	if seq != 0 {
		return seq, nil
	}
	for _, generation := range n.Folds.Answered() {
		s, _, err := n.Folds.Judged(generation, pcsID, 0)
		if err == nil {
			return s.Seq, nil
		}
		if !errors.Is(err, projections.ErrNotFound) {
			return 0, err
		}
	}
	return 0, api.ErrNotFound
}

// gathering collects the parts of one bundle.
type gathering struct {
	n      *Notary
	read   func(uint64) (projections.Item, error)
	shown  *Shown
	bundle evidence.Bundle
	seqs   []uint64 // of events, in no order
}

// generation adds what one generation says of the submission, and what that depends on.
func (g *gathering) generation(ctx context.Context, number uint32, pcsID string) error {
	own := g.bundle.Receipt.Statement
	s, causes, err := g.n.Folds.Judged(number, pcsID, own.Leaf.Seq)
	if number != own.Generation {
		if errors.Is(err, projections.ErrNotFound) {
			return nil // it has not folded so far
		}
		if err == nil {
			err = g.agreed(ctx, number)
		}
		causes = append(causes, s)
	}
	if err != nil {
		return err
	}
	it, err := g.read(own.Leaf.Seq)
	if err != nil {
		return err
	}
	sub, err := event.DecodeSubmission(it.Event.Payload)
	if err != nil {
		return err
	}
	j := projections.Judged{Generation: number, Seq: it.Seq, KeyID: sub.Facts.KeyID, Shard: s.ShardID}
	g.seqs = append(append(g.seqs, it.Seq), g.n.Folds.Needed(j, g.shown.Size)...)
	for i := range causes {
		if err := g.state(number, &causes[i]); err != nil {
			return err
		}
	}
	return nil
}

// agreed asks the voters whether they have what this node has folded in another generation than the active one.
func (g *gathering) agreed(ctx context.Context, number uint32) error {
	if _, err := g.n.Agreed(ctx, number, g.shown.Size); err != nil {
		return wire.NewProblem(wire.CodeNotReady,
			"no majority has confirmed what another generation says of the record").WithRetry(retryAfter)
	}
	return nil
}

// state adds a signed statement.
func (g *gathering) state(generation uint32, s *projections.Stated) error {
	it, err := g.read(s.Seq)
	if err != nil {
		return err
	}
	signed, err := evidence.SignStatement(g.n.statement(generation, s, it.Leaf()), *g.shown.keys...)
	if err != nil {
		return err
	}
	g.bundle.Statements, g.seqs = append(g.bundle.Statements, signed), append(g.seqs, s.Seq)
	return nil
}

// events adds the events with their proofs, and brings events and statements into the order of the format.
func (g *gathering) events(ctx context.Context) error {
	slices.Sort(g.seqs)
	for _, seq := range slices.Compact(g.seqs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		it, err := g.read(seq)
		if err != nil {
			return err
		}
		hashes, err := g.n.Tree.Inclusion(seq, g.shown.Size)
		if err != nil {
			return absent(err)
		}
		g.bundle.Events = append(g.bundle.Events, evidence.Event{Leaf: it.Leaf(), Payload: it.Event.Payload, Hashes: hashes})
	}
	return g.bundle.Sort()
}
