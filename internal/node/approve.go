package node

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// secondActor enforces the two-person rule, when it is on, before an act is done: another actor must have said yes to the same
// request under the same op_id within the last hour. Without that it puts the request into the log, as the first yes, and
// refuses. act is the word of the act, request says in words what exactly is asked for.
func (n *Node) secondActor(ctx context.Context, act, request string, a wire.Act, meta api.Meta) error {
	if !n.cfg.TwoPerson {
		return nil
	}
	if a.OpID == "" {
		return wire.NewProblem(wire.CodeBadRequest, "op_id: the two-person rule needs one, so that another actor can approve it").WithField("op_id")
	}
	rows := n.approvals(a.OpID)
	asked := false
	for _, row := range rows {
		switch {
		case row.Act != act || row.Request != request:
			return stale("the op_id %q was used to ask for something else: %s", a.OpID, row.Request)
		case strings.EqualFold(row.Op.Actor, meta.Actor):
			asked = true
		case n.independent(row.Op, meta.Identity):
			return nil
		}
	}
	if !asked {
		if err := n.approve(ctx, a.OpID, act, request, a, meta); err != nil {
			return err
		}
	}
	return wire.NewProblem(wire.CodeApprovalNeeded, fmt.Sprintf("%s: asked for by %s; within an hour another actor must approve op_id %s, then send the request again under it", request, meta.Actor, a.OpID))
}

// approvals are those that count by the log and by the clock of this node.
func (n *Node) approvals(opID string) []projections.ApprovalRow {
	return n.derived.Control().Approvals(opID, n.logTime())
}

// logTime is what the next event may have as its log time, at the least: Unix nanoseconds.
func (n *Node) logTime() int64 { return max(n.derived.Cursor().LogTime, n.now().UnixNano()) }

// independent reports whether two actors are two persons as far as the log can tell: other names, and neither has made the
// other's token, or the token with which it was made, and so on.
func (n *Node) independent(first projections.Op, second api.Identity) bool {
	return !strings.EqualFold(first.Actor, second.Actor) && !n.madeBy(first.Credential, second.Actor) && !n.madeBy(second.Credential, first.Actor)
}

// madeBy walks from a token over the tokens with which each was created, and looks for the actor among the creators. It ends
// at a credential that the log did not make: a certificate, or a token of the settings. A token is younger than the one that
// created it, so the walk ends.
func (n *Node) madeBy(credential, actor string) bool {
	for before := uint64(math.MaxUint64); ; {
		id, _ := strings.CutPrefix(credential, "token:")
		row, ok := n.derived.Control().Token(id)
		if !ok || row.Seq >= before {
			return false
		}
		if strings.EqualFold(row.Op.Actor, actor) {
			return true
		}
		credential, before = row.Op.Credential, row.Seq
	}
}

// approve puts one yes into the log.
func (n *Node) approve(ctx context.Context, opID, act, request string, about wire.Act, meta api.Meta) error {
	op := n.op(about, meta)
	op.OpId = "" // that of the act is for the act itself
	_, effect, err := n.act(ctx, event.ActApproved, &event.ActApprovedV1{ActOpId: opID, Act: act, Request: request, Op: op})
	if err == nil && effect == projections.Ignored {
		err = stale("the op_id %q was used for something else", opID)
	}
	return err
}

// Approve says yes to what another actor has asked for.
func (n ledger) Approve(ctx context.Context, r wire.ApprovalRequest, meta api.Meta) (*wire.ApprovalAnswer, error) {
	if err := n.current(ctx); err != nil {
		return nil, err
	}
	rows := n.approvals(r.Approve)
	switch {
	case n.derived.Control().OpSeq(r.Approve) != 0:
		return nil, stale("what op_id %q asked for is done already", r.Approve)
	case len(rows) == 0:
		return nil, api.ErrNotFound
	}
	independent := false
	for _, row := range rows {
		if strings.EqualFold(row.Op.Actor, meta.Actor) {
			return nil, wire.NewProblem(wire.CodeForbidden, meta.Actor+" has said yes already; another actor must")
		}
		independent = independent || n.independent(row.Op, meta.Identity)
	}
	if !independent {
		return nil, wire.NewProblem(wire.CodeForbidden, "one of you has made the token of the other, itself or through a token that it made; that counts as one person")
	}
	if err := n.approve(ctx, r.Approve, rows[0].Act, rows[0].Request, r.Act, meta); err != nil {
		return nil, err
	}
	for _, a := range approvalAnswers(n.approvals(r.Approve)) {
		return &a, nil
	}
	return nil, stale("the request has expired meanwhile")
}

// Approvals lists what was asked for and is not done yet.
func (n ledger) Approvals(context.Context) ([]wire.ApprovalAnswer, error) {
	return approvalAnswers(n.derived.Control().PendingApprovals(n.logTime())), nil
}

// approvalAnswers joins the rows of each request, oldest first.
func approvalAnswers(rows []projections.ApprovalRow) []wire.ApprovalAnswer {
	out := []wire.ApprovalAnswer{}
	at := map[string]int{}
	for _, row := range rows {
		i, ok := at[row.OpID]
		if !ok {
			i = len(out)
			at[row.OpID] = i
			out = append(out, wire.ApprovalAnswer{OpID: row.OpID, Act: row.Act, Request: row.Request, AskedAt: wire.TimeNS(row.LogTime),
				ExpiresAt: wire.TimeNS(row.LogTime + projections.ApprovalFor), Seq: row.Seq, Reason: row.Op.Reason, Ticket: row.Op.Ticket})
		}
		out[i].Actors = append(out[i].Actors, row.Op.Actor)
	}
	return out
}
