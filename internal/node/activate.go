package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// Activate switches every node to a generation, after a majority of the voters has reported the diff that was reviewed.
func (n ledger) Activate(ctx context.Context, number uint32, r wire.ActivateRequest,
	meta api.Meta) (*wire.ActivateAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	position, diff, ok := recount.ParseDiff(r.Diff)
	if !ok {
		return nil, wire.NewProblem(wire.CodeBadRequest,
			"must be the digest that recount generation diff prints, 80 hex digits").WithField("diff")
	}
	if seq := n.derived.Control().OpSeq(r.OpID); r.OpID != "" && seq != 0 {
		return n.recounts.activatedBefore(ctx, seq, r.OpID, func(a *projections.ActivationRow) bool {
			return a.Generation == number && a.Position == position && a.Diff == diff && !a.Rollback
		})
	}
	request := fmt.Sprintf("activate generation %d under diff %s, %s", number, r.Diff, flipsLimit(r.MaxNewFlips))
	if r.Force {
		request += ", although the nodes or the review may be far behind"
	}
	o := wire.Operation{
		Act:         wire.OperationActivate,
		Generation:  number,
		Diff:        r.Diff,
		MaxNewFlips: r.MaxNewFlips,
		Force:       r.Force,
	}
	if err := n.ops.secondActor(ctx, o, request, r.Op, meta); err != nil {
		return nil, err
	}
	return n.recounts.activate(ctx, number, position, diff, r, false, n.ops.op(r.Op, meta))
}

func flipsLimit(limit *uint64) string {
	if limit == nil {
		return "however many flips are new"
	}
	return fmt.Sprintf("with at most %d new flips", *limit)
}

func (rc *recounts) activate(ctx context.Context, number uint32, position uint64, diff [32]byte,
	r wire.ActivateRequest, rollback bool, op *event.OpV1) (*wire.ActivateAnswer, error) {
	run, c, err := rc.comparison(number)
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
	nodes, reporters, absent, err := rc.agreeOn(ctx, number, position, diff)
	if err != nil {
		return nil, err
	}
	if !r.Force {
		if err := rc.nearHead(nodes, reporters, position); err != nil {
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
	seq, effect, err := rc.actBounded(ctx, run, c, m, r.MaxNewFlips)
	return rc.afterActivation(ctx, m, seq, effect, err)
}

// agreeOn asks the voters for the digest of a comparison until a majority reports it. It stops at the first
// contrary one.
func (rc *recounts) agreeOn(ctx context.Context, number uint32, position uint64,
	diff [32]byte) (nodes []wire.NodeProgress, reporters, absent []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, rc.cfg.SubmitTimeout/2)
	defer cancel()
	want := recount.DiffText(position, diff)
	for {
		nodes = rc.gens.Progress(ctx, number, position)
		agree, reporters, absent := recount.Agree(nodes, len(rc.cfg.Voters), func(p wire.NodeProgress) string {
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
		if pause(ctx, dutyPause) != nil {
			return nil, nil, nil,
				wire.NewProblem(wire.CodeNoAgreement,
					fmt.Sprintf("only %d of %d voters report a digest at event %d; absent: %v",
						len(reporters), len(rc.cfg.Voters), position, absent)).WithRetry(retryAfter)
		}
	}
}

// activatedBefore describes the activation that an op_id named first, if it is the same.
func (rc *recounts) activatedBefore(ctx context.Context, seq uint64, opID string,
	same func(*projections.ActivationRow) bool) (*wire.ActivateAnswer, error) {
	acts := rc.derived.Control().Activations()
	i := slices.IndexFunc(acts, func(a projections.ActivationRow) bool { return a.Seq == seq })
	if i < 0 || !same(&acts[i]) {
		return nil, stale("the op_id %q was used for something else", opID)
	}
	return rc.activated(ctx, seq)
}

// activated describes an activation that is in the log, once this node serves it.
func (rc *recounts) activated(ctx context.Context, seq uint64) (*wire.ActivateAnswer, error) {
	for _, a := range rc.derived.Control().Activations() {
		if a.Seq != seq {
			continue
		}
		if err := rc.gens.AwaitServing(ctx); err != nil {
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
		if r, _ := rc.gens.Get(a.Generation); r != nil {
			err = eachFlip(ctx, r, a.Position+1, a.Seq, func(*projections.Flip) bool { out.AfterFlips++; return true })
		}
		return out, err
	}
	return nil, stale("event %d is no activation", seq)
}

// Rollback activates the previous generation under the diff that stands now.
func (n ledger) Rollback(ctx context.Context, r wire.RollbackRequest, meta api.Meta) (*wire.ActivateAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	if seq := n.derived.Control().OpSeq(r.OpID); r.OpID != "" && seq != 0 {
		return n.recounts.activatedBefore(ctx, seq, r.OpID, func(a *projections.ActivationRow) bool {
			return a.Rollback
		})
	}
	acts := n.derived.Control().Activations()
	if len(acts) == 0 {
		return nil, stale("no generation was activated yet; there is nothing to go back to")
	}
	number := acts[len(acts)-1].From
	request := fmt.Sprintf("roll back from generation %d to generation %d", acts[len(acts)-1].Generation, number)
	if err := n.ops.secondActor(ctx, wire.Operation{Act: wire.OperationRollback}, request, r.Op, meta); err != nil {
		return nil, err
	}
	if n.gens.Switching() {
		return n.recounts.rollbackUnseen(ctx, number, n.ops.op(r.Op, meta))
	}
	_, c, err := n.recounts.awaitComparison(ctx, number)
	if err != nil {
		return nil, err
	}
	position := n.derived.Cursor().Seq
	if err := c.WaitSeq(ctx, position); err != nil {
		return nil, err
	}
	diff, _, err := c.Digest(position)
	if err != nil {
		return nil, err
	}
	return n.recounts.activate(ctx, number, position, diff, wire.ActivateRequest{}, true, n.ops.op(r.Op, meta))
}

// awaitComparison waits until the comparison with the active generation has begun.
func (rc *recounts) awaitComparison(ctx context.Context, number uint32) (*recount.Running, *fsm.Comparison, error) {
	for {
		_, changed := rc.gens.Get(number)
		r, c, err := rc.comparison(number)
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
