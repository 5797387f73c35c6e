package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// Activate switches every node to a generation, after a majority of the voters has reported the diff that was reviewed.
func (gs *Generations) Activate(ctx context.Context, number uint32, r wire.ActivateRequest,
	meta api.Meta) (*wire.ActivateAnswer, error) {
	if err := gs.core.current(ctx); err != nil {
		return nil, err
	}
	position, diff, ok := recount.ParseDiff(r.Diff)
	if !ok {
		return nil, wire.NewProblem(wire.CodeBadRequest,
			"must be the digest that recount generation diff prints, 80 hex digits").WithField("diff")
	}
	if seq := gs.core.control().OpSeq(r.OpID); r.OpID != "" && seq != 0 {
		return gs.activatedBefore(ctx, seq, r.OpID, func(a *projections.ActivationRow) bool {
			return a.Generation == number && a.Position == position && a.Diff == diff && !a.Rollback
		})
	}
	request := fmt.Sprintf("activate generation %d under diff %s, %s", number, r.Diff, flipsLimit(r.MaxNewFlips))
	if r.Force {
		request += ", although the nodes or the review may be far behind"
	}
	o := wire.PendingOperation{
		Name:        wire.OperationActivate,
		Generation:  number,
		Diff:        r.Diff,
		MaxNewFlips: r.MaxNewFlips,
		Force:       r.Force,
	}
	if err := gs.approvals.require(ctx, o, request, r.Op, meta); err != nil {
		return nil, err
	}
	return gs.activate(ctx, number, position, diff, r, false, gs.core.op(r.Op, meta))
}

func flipsLimit(limit *uint64) string {
	if limit == nil {
		return "however many flips are new"
	}
	return fmt.Sprintf("with at most %d new flips", *limit)
}

func (gs *Generations) activate(ctx context.Context, number uint32, position uint64, diff [32]byte,
	r wire.ActivateRequest, rollback bool, op *event.OpV1) (*wire.ActivateAnswer, error) {
	run, c, err := gs.comparison(number)
	if err != nil {
		return nil, err
	}
	if err := c.WaitSeq(ctx, position); err != nil {
		return nil, err
	}
	own, _, err := c.Digest(position)
	if err != nil {
		return nil, err
	}
	if own != diff {
		return nil, stale("the diff at event %d is %s, not the one that was reviewed", position,
			recount.DiffText(position, own))
	}
	nodes, reporters, absent, err := gs.agreeOn(ctx, number, position, diff)
	if err != nil {
		return nil, err
	}
	if !r.Force {
		if err := gs.nearHead(nodes, reporters, position); err != nil {
			return nil, err
		}
	}
	m := &event.GenerationActivatedV1{
		Generation: number,
		From:       c.Old(),
		Position:   position,
		Diff:       diff[:],
		Reporters:  reporters,
		Absent:     absent,
		Rollback:   rollback,
		Op:         op,
	}
	seq, effect, err := gs.operateBounded(ctx, run, c, m, r.MaxNewFlips)
	return gs.afterActivation(ctx, m, seq, effect, err)
}

// agreePause lies between two questions to the voters.
const agreePause = 200 * time.Millisecond

// agreeOn asks the voters for the digest of a comparison until a majority reports it. It stops at the first
// contrary one.
func (gs *Generations) agreeOn(ctx context.Context, number uint32, position uint64,
	diff [32]byte) (nodes []wire.NodeProgress, reporters, absent []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, gs.core.Timeout/2)
	defer cancel()
	want := recount.DiffText(position, diff)
	for {
		nodes = gs.core.Recounts.Progress(ctx, number, position)
		agree, reporters, absent := recount.Agree(nodes, len(gs.core.Voters()), func(p wire.NodeProgress) string {
			return p.DiffAt
		})
		if i := slices.IndexFunc(nodes, func(p wire.NodeProgress) bool {
			return p.DiffAt != "" && p.DiffAt != want
		}); i >= 0 {
			return nil, nil, nil,
				wire.NewProblem(wire.CodeNoAgreement,
					fmt.Sprintf("%s reports %s at event %d, this node %s", nodes[i].Node, nodes[i].DiffAt,
						position, want))
		}
		if agree {
			return nodes, reporters, absent, nil
		}
		if pause.For(ctx, agreePause) != nil {
			return nil, nil, nil,
				wire.NewProblem(wire.CodeNoAgreement,
					fmt.Sprintf("only %d of %d voters report a digest at event %d; absent: %v",
						len(reporters), len(gs.core.Voters()), position, absent)).WithRetry(retryAfter)
		}
	}
}

// activatedBefore describes the activation that an op_id named first, if it is the same.
func (gs *Generations) activatedBefore(ctx context.Context, seq uint64, opID string,
	same func(*projections.ActivationRow) bool) (*wire.ActivateAnswer, error) {
	activations := gs.core.control().Activations()
	i := slices.IndexFunc(activations, func(a projections.ActivationRow) bool { return a.Seq == seq })
	if i < 0 || !same(&activations[i]) {
		return nil, opIDReused(opID)
	}
	return gs.activated(ctx, seq)
}

// activated describes an activation that is in the log, once this node serves it.
func (gs *Generations) activated(ctx context.Context, seq uint64) (*wire.ActivateAnswer, error) {
	for _, a := range gs.core.control().Activations() {
		if a.Seq != seq {
			continue
		}
		if err := gs.core.Recounts.AwaitServing(ctx); err != nil {
			return nil, err
		}
		out := &wire.ActivateAnswer{
			Generation: a.Generation,
			From:       a.From,
			Seq:        a.Seq,
			Position:   a.Position,
			Diff:       recount.DiffText(a.Position, a.Diff),
			Reporters:  append([]string{}, a.Reporters...),
			Absent:     append([]string{}, a.Absent...),
		}
		var err error
		if r, _ := gs.core.Recounts.Get(a.Generation); r != nil {
			err = eachFlip(ctx, r, a.Position+1, a.Seq, func(*projections.Flip) bool { out.AfterFlips++; return true })
		}
		return out, err
	}
	return nil, stale("event %d is no activation", seq)
}

// Rollback activates the previous generation under the diff that stands now.
func (gs *Generations) Rollback(ctx context.Context, r wire.RollbackRequest,
	meta api.Meta) (*wire.ActivateAnswer, error) {
	if err := gs.core.current(ctx); err != nil {
		return nil, err
	}
	if seq := gs.core.control().OpSeq(r.OpID); r.OpID != "" && seq != 0 {
		return gs.activatedBefore(ctx, seq, r.OpID, func(a *projections.ActivationRow) bool {
			return a.Rollback
		})
	}
	activations := gs.core.control().Activations()
	if len(activations) == 0 {
		return nil, stale("no generation was activated yet; there is nothing to go back to")
	}
	number := activations[len(activations)-1].From
	request := fmt.Sprintf("roll back from generation %d to generation %d", activations[len(activations)-1].Generation, number)
	if err := gs.approvals.require(ctx, wire.PendingOperation{Name: wire.OperationRollback}, request, r.Op, meta); err != nil {
		return nil, err
	}
	if gs.core.Recounts.Switching() {
		return gs.rollbackUnseen(ctx, number, gs.core.op(r.Op, meta))
	}
	_, c, err := gs.awaitComparison(ctx, number)
	if err != nil {
		return nil, err
	}
	position := gs.core.head()
	if err := c.WaitSeq(ctx, position); err != nil {
		return nil, err
	}
	diff, _, err := c.Digest(position)
	if err != nil {
		return nil, err
	}
	return gs.activate(ctx, number, position, diff, wire.ActivateRequest{}, true, gs.core.op(r.Op, meta))
}

// awaitComparison waits until the comparison with the active generation has begun.
func (gs *Generations) awaitComparison(ctx context.Context, number uint32) (*recount.Running, *fsm.Comparison, error) {
	for {
		_, changed := gs.core.Recounts.Get(number)
		r, c, err := gs.comparison(number)
		var p *wire.Problem
		if err == nil || !errors.As(err, &p) || p.Code != wire.CodeBehind {
			return r, c, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}
