package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// secondActor enforces the two-person rule, when it is on, before an act is done. Another actor must have
// approved the same request under the same op_id within the last hour. Without that it puts the request into
// the log, as the first approval, and refuses. o is the operation to carry out once it is approved, and request
// describes it in words.
func (ops *operations) secondActor(ctx context.Context, o wire.Operation, request string, a wire.Op,
	meta api.Meta) error {
	if !ops.cfg.TwoPerson {
		return nil
	}
	if a.OpID == "" {
		return wire.NewProblem(wire.CodeBadRequest,
			"op_id: the two-person rule needs one, so that another actor can approve it").WithField("op_id")
	}
	rows := ops.approvals(a.OpID)
	asked := false
	for _, row := range rows {
		switch {
		case row.Act != o.Act || row.Request != request:
			return stale("the op_id %q was used to ask for something else: %s", a.OpID, row.Request)
		case strings.EqualFold(row.Op.Actor, meta.Actor):
			asked = true
		case ops.independent(row.Op, meta.Identity):
			return nil
		}
	}
	if !asked {
		operation, err := json.Marshal(o)
		if err != nil {
			return err
		}
		first := projections.ApprovalRow{OpID: a.OpID, Act: o.Act, Request: request, Operation: string(operation)}
		if len(rows) > 0 {
			first = rows[0]
		}
		if err := ops.approve(ctx, first, a, meta); err != nil {
			return err
		}
	}
	return wire.NewProblem(wire.CodeApprovalNeeded,
		fmt.Sprintf("%s: asked for by %s; within an hour another actor must approve op_id %s, then either of "+
			"them has it carried out",
			request, meta.Actor, a.OpID))
}

// approvals returns the approvals that count by the log and by the clock of this node.
func (ops *operations) approvals(opID string) []projections.ApprovalRow {
	return ops.derived.Control().Approvals(opID, ops.clock.logTime())
}

// independent reports whether two actors are two persons as far as the log can tell: other names, and neither
// has made the other's token, or the token with which it was made, and so on.
func (ops *operations) independent(first projections.Op, second api.Identity) bool {
	return !strings.EqualFold(first.Actor, second.Actor) && !ops.madeBy(first.Credential, second.Actor) &&
		!ops.madeBy(second.Credential, first.Actor)
}

// madeBy walks from a token over the tokens with which each was created, and looks for the actor among the
// creators. It ends at a credential that the log did not make: a certificate, or a token of the settings. A
// token is younger than the one that created it, so the walk ends.
func (ops *operations) madeBy(credential, actor string) bool {
	for before := uint64(math.MaxUint64); ; {
		id, _ := strings.CutPrefix(credential, event.TokenPrefix)
		row, ok := ops.derived.Control().Token(id)
		if !ok || row.Seq >= before {
			return false
		}
		if strings.EqualFold(row.Op.Actor, actor) {
			return true
		}
		credential, before = row.Op.Credential, row.Seq
	}
}

// approve puts one approval of the request into the log.
func (ops *operations) approve(ctx context.Context, asked projections.ApprovalRow, about wire.Op,
	meta api.Meta) error {
	op := ops.op(about, meta)
	op.OpId = "" // that of the act is for the act itself
	_, effect, err := ops.act(ctx, event.ActApproved,
		&event.ActApprovedV1{ActOpId: asked.OpID, Act: asked.Act, Request: asked.Request,
			Operation: []byte(asked.Operation), Op: op})
	if err == nil && effect == projections.Ignored {
		err = stale("the op_id %q was used for something else", asked.OpID)
	}
	return err
}

// Approve approves a request of another actor. With Run it carries the request out too, exactly as it is in the
// log.
func (n ledger) Approve(ctx context.Context, r wire.ApprovalRequest, meta api.Meta) (*wire.ApprovalAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	rows := n.ops.approvals(r.Approve)
	done := n.derived.Control().OpSeq(r.Approve) != 0
	switch {
	case done && (!r.Run || len(rows) == 0):
		return nil, stale("what op_id %q asked for is done already", r.Approve)
	case len(rows) == 0:
		return nil, wire.NewProblem(wire.CodeNotFound,
			fmt.Sprintf("no act with the op_id %.100q waits for a second actor", r.Approve)).WithField("approve")
	}
	if !done {
		if err := n.ops.sayYes(ctx, rows, r, meta); err != nil {
			return nil, err
		}
	}
	var result json.RawMessage
	if r.Run {
		var err error
		if result, err = n.carryOut(ctx, rows[0], r.Op, meta); err != nil {
			return nil, err
		}
	}
	for _, a := range n.ops.approvalAnswers(n.ops.approvals(r.Approve), map[string]bool{r.Approve: r.Run}) {
		a.Result = result
		return &a, nil
	}
	return nil, stale("the request has expired meanwhile")
}

// sayYes records the approval of an actor who has not approved the request yet and is independent of one who
// has. Actors who only want to carry out what they approved before need no second approval.
func (ops *operations) sayYes(ctx context.Context, rows []projections.ApprovalRow, r wire.ApprovalRequest,
	meta api.Meta) error {
	independent := false
	for _, row := range rows {
		if strings.EqualFold(row.Op.Actor, meta.Actor) {
			if r.Run {
				return nil
			}
			return wire.NewProblem(wire.CodeForbidden, meta.Actor+" has already approved it. Another actor must")
		}
		independent = independent || ops.independent(row.Op, meta.Identity)
	}
	if !independent {
		return wire.NewProblem(wire.CodeForbidden,
			"one of you has made the token of the other, itself or through a token that it made; that counts "+
				"as one person")
	}
	return ops.approve(ctx, rows[0], r.Op, meta)
}

// carryOut does what was asked for, from its operation in the log and with the same words. It goes through the
// same code as the request itself, which looks for the second approval once more.
func (n ledger) carryOut(ctx context.Context, asked projections.ApprovalRow, about wire.Op,
	meta api.Meta) (json.RawMessage, error) {
	var o wire.Operation
	if asked.Operation == "" || json.Unmarshal([]byte(asked.Operation), &o) != nil {
		return nil,
			stale("op_id %q was asked for through an older release, which did not keep the operation: send the "+
				"request again",
				asked.OpID)
	}
	act := wire.Op{
		OpID:   asked.OpID,
		Reason: cmp.Or(about.Reason, asked.Op.Reason),
		Ticket: cmp.Or(about.Ticket, asked.Op.Ticket),
	}
	var v any
	var err error
	switch o.Act {
	case wire.OperationActivate:
		v, err = n.Activate(ctx, o.Generation,
			wire.ActivateRequest{Op: act, Diff: o.Diff, MaxNewFlips: o.MaxNewFlips, Force: o.Force}, meta)
	case wire.OperationRollback:
		v, err = n.Rollback(ctx, wire.RollbackRequest{Op: act}, meta)
	case wire.OperationThaw:
		v, err = n.Thaw(ctx, wire.FreezeRequest{Op: act, Scope: o.Scope, Subject: o.Subject}, meta)
	case wire.OperationApply:
		v, err = n.ApplyPolicy(ctx, o.Policy, wire.ApplyRequest{Op: act}, meta)
	default:
		return nil, stale("this release cannot carry out %q", o.Act)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Approvals lists requests: those that are not done yet, or all that still count.
func (n ledger) Approvals(_ context.Context, all bool) ([]wire.ApprovalAnswer, error) {
	rows, done := n.derived.Control().RecentApprovals(n.clock.logTime())
	if !all {
		rows = slices.DeleteFunc(rows, func(r projections.ApprovalRow) bool { return done[r.OpID] })
	}
	return n.ops.approvalAnswers(rows, done), nil
}

// approvalAnswers joins the rows of each request, oldest first.
func (ops *operations) approvalAnswers(rows []projections.ApprovalRow, done map[string]bool) []wire.ApprovalAnswer {
	out := []wire.ApprovalAnswer{}
	at := map[string]int{}
	for k, row := range rows {
		i, ok := at[row.OpID]
		if !ok {
			i = len(out)
			at[row.OpID] = i
			a := wire.ApprovalAnswer{
				OpID:      row.OpID,
				Act:       row.Act,
				Request:   row.Request,
				State:     wire.ApprovalAsked,
				AskedAt:   wire.TimeNS(row.LogTime),
				ExpiresAt: wire.TimeNS(row.LogTime + projections.ApprovalFor),
				Seq:       row.Seq,
				Reason:    row.Op.Reason,
				Ticket:    row.Op.Ticket,
			}
			if o := new(wire.Operation); json.Unmarshal([]byte(row.Operation), o) == nil {
				a.Operation = o
			}
			out = append(out, a)
		}
		out[i].Actors = append(out[i].Actors, row.Op.Actor)
		if done[row.OpID] {
			out[i].State = wire.ApprovalDone
		} else if ops.seconded(row, rows[:k]) {
			out[i].State = wire.ApprovalApproved
		}
	}
	return out
}

// seconded reports whether an approval comes from another person than one before it of the same request.
func (ops *operations) seconded(row projections.ApprovalRow, before []projections.ApprovalRow) bool {
	return slices.ContainsFunc(before, func(b projections.ApprovalRow) bool {
		return b.OpID == row.OpID &&
			ops.independent(b.Op, api.Identity{Actor: row.Op.Actor, Credential: row.Op.Credential})
	})
}
