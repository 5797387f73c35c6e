package notary

import (
	"context"
	"errors"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// receiptWait bounds how long a receipt waits for the checkpoint that covers its event.
const receiptWait = time.Second

// Outcomes reads the outcomes of the active generation.
type Outcomes interface {
	// Stated returns the outcome of a submission that names a pcs_id, seq 0 for the one that stands, and its
	// generation.
	Stated(pcsID string, seq uint64) (s projections.Stated, generation uint32, err error)
}

// Receipt returns the receipt of a submission that names a pcs_id, seq 0 for the one that stands. It waits a
// second at most for a checkpoint that covers the event. It implements api.Evidence.
func (n *Notary) Receipt(ctx context.Context, pcsID string, seq uint64) ([]byte, error) {
	if p := n.closed(); p != nil {
		return nil, p
	}
	r, _, err := n.receipt(ctx, pcsID, seq)
	if err != nil {
		return nil, err
	}
	return r.Text(), nil
}

// receipt returns a receipt and the checkpoint in it.
func (n *Notary) receipt(ctx context.Context, pcsID string, seq uint64) (r evidence.Receipt, shown *Shown, err error) {
	s, generation, err := n.Outcomes.Stated(pcsID, seq)
	if errors.Is(err, projections.ErrNotFound) {
		return r, nil, api.ErrNotFound
	}
	if err != nil {
		return r, nil, err
	}
	if shown, err = n.covering(ctx, s.Seq, generation); err != nil {
		return r, nil, err
	}
	it, err := n.Tree.Items()(s.Seq)
	if err != nil {
		return r, nil, err
	}
	r.Proof = evidence.Proof{Index: s.Seq - 1, Checkpoint: shown.Note}
	if r.Proof.Hashes, err = n.Tree.Inclusion(s.Seq, shown.Size); err != nil {
		return r, nil, absent(err)
	}
	r.Statement = n.statement(generation, &s, it.Leaf())
	r.Signed, err = evidence.SignStatement(r.Statement, *shown.keys...)
	return r, shown, err
}

func (n *Notary) statement(generation uint32, s *projections.Stated, leaf evidence.Leaf) evidence.Statement {
	return evidence.Statement{Origin: n.Origin, Generation: generation, Policy: s.Policy, Leaf: leaf, Row: s.Core,
		Before: s.Before, State: s.After}
}

// covering waits for a checkpoint that has event seq and was agreed on under the generation, a second at most.
// When no quorum of witnesses has cosigned one by then, it is one without.
func (n *Notary) covering(ctx context.Context, seq uint64, generation uint32) (*Shown, error) {
	ctx, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	for {
		next := n.next()
		newest, err := n.Latest()
		if err == nil {
			if s := n.covers(newest, seq, generation, ctx.Err() != nil); s != nil {
				return s, nil
			}
		}
		switch {
		case err != nil && n.contradict.Load():
			return nil, err
		case err == nil && newest.generation > generation:
			return nil, wire.NewProblem(wire.CodeNotReady,
				"another generation was activated meanwhile").WithRetry(retryAfter)
		}
		if ctx.Err() != nil {
			return nil, wire.NewProblem(wire.CodeNotReady, "no checkpoint covers the event yet").WithRetry(retryAfter)
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}
