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
	s, generation, err := n.Outcomes.Stated(pcsID, seq)
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	shown, err := n.covering(ctx, s.Seq, generation)
	if err != nil {
		return nil, err
	}
	it, err := n.Tree.Items()(s.Seq)
	if err != nil {
		return nil, err
	}
	proof, err := n.Tree.Inclusion(s.Seq, shown.Size)
	if err != nil {
		return nil, absent(err)
	}
	statement := evidence.Statement{Origin: n.Origin, Generation: generation, Policy: s.Policy, Leaf: it.Leaf(),
		Row: s.Core, Before: s.Before, State: s.After}
	signed, err := evidence.SignStatement(statement, *shown.keys...)
	if err != nil {
		return nil, err
	}
	r := evidence.Receipt{Statement: statement, Signed: signed,
		Proof: evidence.Proof{Index: s.Seq - 1, Hashes: proof, Checkpoint: shown.Note}}
	return r.Text(), nil
}

// covering waits for a checkpoint that has event seq and was agreed on under the generation.
func (n *Notary) covering(ctx context.Context, seq uint64, generation uint32) (*Shown, error) {
	ctx, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	for {
		next := n.next()
		shown, err := n.Latest()
		switch {
		case err == nil && shown.Size >= seq && shown.generation == generation:
			return shown, nil
		case err == nil && shown.generation > generation:
			return nil, wire.NewProblem(wire.CodeNotReady,
				"another generation was activated meanwhile").WithRetry(retryAfter)
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil, wire.NewProblem(wire.CodeNotReady, "no checkpoint covers the event yet").WithRetry(retryAfter)
		}
	}
}
