package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// Operations lists operations, approves them and carries out those that are approved.
type Operations struct {
	core      *core
	approvals *approvals
	parts     *Operator // that carry out what is approved
}

// A page of operations reads the events that are no submissions in stretches of operationsChunk, and at most maxOperations of
// them. Digests of the state are among them.
const (
	operationsChunk = 1000
	maxOperations   = 10_000
)

// List returns the events of operations from seq on, at most limit.
func (o *Operations) List(ctx context.Context, from uint64,
	limit int) (items []wire.OperationItem, next uint64, err error) {
	read := o.core.State.Items()
	for looked := 0; looked < maxOperations; looked += operationsChunk {
		seqs, err := o.core.State.OperatorSeqs(from, operationsChunk)
		if err != nil {
			return nil, 0, err
		}
		for _, seq := range seqs {
			if len(items) == limit {
				return items, seq, nil
			}
			item, ok, err := o.item(read, seq)
			if err != nil {
				return nil, 0, err
			}
			if ok {
				items = append(items, item)
			}
			from = seq + 1
		}
		if len(seqs) < operationsChunk {
			return items, 0, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
	return items, from, nil
}

var effectWords = map[projections.Effect]string{
	projections.Applied:  wire.EffectApplied,
	projections.Repeated: wire.EffectRepeated,
	projections.Ignored:  wire.EffectIgnored,
}

// item describes an event. ok is false when no operator did it.
func (o *Operations) item(read func(uint64) (projections.Item, error),
	seq uint64) (item wire.OperationItem, ok bool, err error) {
	it, err := read(seq)
	if err != nil {
		return item, false, err
	}
	_, m, err := it.Event.Message()
	if err != nil {
		return item, false, err
	}
	operated, ok := m.(event.OpMessage)
	if !ok || operated.GetOp() == nil {
		return item, false, nil
	}
	effect, err := o.core.State.Effect(it.Kind, seq)
	if err != nil {
		return item, false, err
	}
	about, err := event.About(m)
	if err != nil {
		return item, false, err
	}
	op := operated.GetOp()
	return wire.OperationItem{
		Seq:        seq,
		LogTime:    wire.TimeNS(it.LogTime),
		Kind:       it.Kind.String(),
		Effect:     effectWords[effect],
		Actor:      op.GetActor(),
		Role:       op.GetRole(),
		Credential: op.GetCredential(),
		Reason:     op.GetReason(),
		Ticket:     op.GetTicket(),
		OpID:       op.GetOpId(),
		RequestID:  op.GetRequestId(),
		Node:       op.GetNode(),
		About:      about,
	}, true, nil
}

// Approve approves a request of another actor. With Run it carries the request out too, exactly as it is in the
// log.
func (o *Operations) Approve(ctx context.Context, r wire.ApprovalRequest, meta api.Meta) (*wire.ApprovalAnswer, error) {
	if err := o.core.current(ctx); err != nil {
		return nil, err
	}
	rows := o.approvals.valid(r.Approve)
	done := o.core.control().OpSeq(r.Approve) != 0
	switch {
	case done && (!r.Run || len(rows) == 0):
		return nil, stale("what op_id %q asked for is done already", r.Approve)
	case len(rows) == 0:
		return nil, wire.NewProblem(wire.CodeNotFound,
			fmt.Sprintf("no operation with the op_id %.100q waits for a second actor", r.Approve)).WithField("approve")
	}
	if !done {
		if err := o.approvals.approve(ctx, rows, r, meta); err != nil {
			return nil, err
		}
	}
	var result json.RawMessage
	if r.Run {
		var err error
		if result, err = o.run(ctx, rows[0], r.Op, meta); err != nil {
			return nil, err
		}
	}
	for _, a := range o.approvals.describe(o.approvals.valid(r.Approve), map[string]bool{r.Approve: r.Run}) {
		a.Result = result
		return &a, nil
	}
	return nil, stale("the request has expired meanwhile")
}

// run does what was asked for, from its operation in the log and with the same words. It goes through the
// same code as the request itself, which looks for the second approval once more.
func (o *Operations) run(ctx context.Context, asked projections.ApprovalRow, about wire.Op,
	meta api.Meta) (json.RawMessage, error) {
	asks, err := decodeOperation(asked.Operation)
	if err != nil {
		return nil,
			stale("op_id %q was asked for through an older release, which did not keep the operation: send the "+
				"request again",
				asked.OpID)
	}
	op := wire.Op{
		OpID:   asked.OpID,
		Reason: cmp.Or(about.Reason, asked.Op.Reason),
		Ticket: cmp.Or(about.Ticket, asked.Op.Ticket),
	}
	var v any
	switch asks.Name {
	case wire.OperationActivate:
		v, err = o.parts.Generations.Activate(ctx, asks.Generation,
			wire.ActivateRequest{Op: op, Diff: asks.Diff, MaxNewFlips: asks.MaxNewFlips, Force: asks.Force}, meta)
	case wire.OperationRollback:
		v, err = o.parts.Generations.Rollback(ctx, wire.RollbackRequest{Op: op}, meta)
	case wire.OperationThaw:
		v, err = o.parts.Freezes.Thaw(ctx, wire.FreezeRequest{Op: op, Scope: asks.Scope, Subject: asks.Subject}, meta)
	case wire.OperationApply:
		v, err = o.parts.Policies.ApplyPolicy(ctx, asks.Policy, wire.ApplyRequest{Op: op}, meta)
	default:
		return nil, stale("this release cannot carry out %q", asks.Name)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Approvals lists requests: those that are not done yet, or all that still count.
func (o *Operations) Approvals(_ context.Context, all bool) ([]wire.ApprovalAnswer, error) {
	rows, done := o.core.control().RecentApprovals(o.core.Clock.LogTime())
	if !all {
		rows = slices.DeleteFunc(rows, func(r projections.ApprovalRow) bool { return done[r.OpID] })
	}
	return o.approvals.describe(rows, done), nil
}
