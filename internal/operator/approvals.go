package operator

import (
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

// approvals are the two-person rule.
type approvals struct{ core *core }

// loggedOperation is a wire.PendingOperation in the form that act_approved keeps. Its member names are stored.
type loggedOperation struct {
	Name        string  `json:"act"`
	Generation  uint32  `json:"generation,omitempty"`
	Diff        string  `json:"diff,omitempty"`
	MaxNewFlips *uint64 `json:"max_new_flips,omitempty"`
	Force       bool    `json:"force,omitempty"`
	Policy      string  `json:"policy,omitempty"`
	Scope       string  `json:"scope,omitempty"`
	Subject     string  `json:"subject,omitempty"`
}

// decodeOperation reads the stored form of an operation.
func decodeOperation(stored string) (*wire.PendingOperation, error) {
	var o loggedOperation
	if err := json.Unmarshal([]byte(stored), &o); err != nil {
		return nil, err
	}
	return (*wire.PendingOperation)(&o), nil
}

// require enforces the two-person rule, when it is on, before an operation is done. Another actor must have
// approved the same request under the same op_id within the last hour. Without that it puts the request into
// the log, as the first approval, and refuses. o is the operation to carry out once it is approved, and request
// describes it in words.
func (ap *approvals) require(ctx context.Context, o wire.PendingOperation, request string, a wire.Op,
	meta api.Meta) error {
	if !ap.core.TwoPerson {
		return nil
	}
	if a.OpID == "" {
		return wire.NewProblem(wire.CodeBadRequest,
			"op_id: the two-person rule needs one, so that another actor can approve it").WithField("op_id")
	}
	rows := ap.valid(a.OpID)
	asked := false
	for _, row := range rows {
		switch {
		case row.Act != o.Name || row.Request != request:
			return wire.NewProblem(wire.CodeOpIDReused,
				fmt.Sprintf("the op_id %q was used to ask for something else: %s", a.OpID, row.Request))
		case strings.EqualFold(row.Op.Actor, meta.Actor):
			asked = true
		case ap.distinctPersons(row.Op, meta.Identity):
			return nil
		}
	}
	if !asked {
		operation, err := json.Marshal(loggedOperation(o))
		if err != nil {
			return err
		}
		first := projections.ApprovalRow{OpID: a.OpID, Act: o.Name, Request: request, Operation: string(operation)}
		if len(rows) > 0 {
			first = rows[0]
		}
		if err := ap.record(ctx, first, a, meta); err != nil {
			return err
		}
	}
	return wire.NewProblem(wire.CodeApprovalNeeded,
		fmt.Sprintf("%s: asked for by %s; within an hour another actor must approve op_id %s, then either of "+
			"them has it carried out",
			request, meta.Actor, a.OpID))
}

// valid returns the approvals that count by the log and by the clock of this node.
func (ap *approvals) valid(opID string) []projections.ApprovalRow {
	return ap.core.control().Approvals(opID, ap.core.Clock.LogTime())
}

// distinctPersons reports whether two actors are two persons as far as the log can tell: other names, and neither
// has made the other's token, or the token with which it was made, and so on.
func (ap *approvals) distinctPersons(first projections.Op, second api.Identity) bool {
	return !strings.EqualFold(first.Actor, second.Actor) && !ap.createdBy(first.Credential, second.Actor) &&
		!ap.createdBy(second.Credential, first.Actor)
}

// createdBy walks from a token over the tokens with which each was created, and looks for the actor among the
// creators. It ends at a credential that the log did not make: a certificate, or a token of the settings. A
// token is younger than the one that created it, so the walk ends.
func (ap *approvals) createdBy(credential, actor string) bool {
	for before := uint64(math.MaxUint64); ; {
		id, _ := strings.CutPrefix(credential, event.TokenPrefix)
		row, ok := ap.core.control().Token(id)
		if !ok || row.Seq >= before {
			return false
		}
		if strings.EqualFold(row.Op.Actor, actor) {
			return true
		}
		credential, before = row.Op.Credential, row.Seq
	}
}

// record puts one approval of the request into the log.
func (ap *approvals) record(ctx context.Context, asked projections.ApprovalRow, about wire.Op,
	meta api.Meta) error {
	op := ap.core.op(about, meta)
	op.OpId = "" // that of the operation is for the operation itself
	_, effect, err := ap.core.commit(ctx, event.ActApproved,
		&event.ActApprovedV1{ActOpId: asked.OpID, Act: asked.Act, Request: asked.Request,
			Operation: []byte(asked.Operation), Op: op})
	if err == nil && effect == projections.Ignored {
		err = opIDReused(asked.OpID)
	}
	return err
}

// approve records the approval of an actor who has not approved the request yet and is independent of one who
// has. Actors who only want to carry out what they approved before need no second approval.
func (ap *approvals) approve(ctx context.Context, rows []projections.ApprovalRow, r wire.ApprovalRequest,
	meta api.Meta) error {
	independent := false
	for _, row := range rows {
		if strings.EqualFold(row.Op.Actor, meta.Actor) {
			if r.Run {
				return nil
			}
			return wire.NewProblem(wire.CodeForbidden, meta.Actor+" has already approved it. Another actor must")
		}
		independent = independent || ap.distinctPersons(row.Op, meta.Identity)
	}
	if !independent {
		return wire.NewProblem(wire.CodeForbidden,
			"one of you has made the token of the other, itself or through a token that it made; that counts "+
				"as one person")
	}
	return ap.record(ctx, rows[0], r.Op, meta)
}

// describe joins the rows of each request, oldest first.
func (ap *approvals) describe(rows []projections.ApprovalRow, done map[string]bool) []wire.ApprovalAnswer {
	out := []wire.ApprovalAnswer{}
	at := map[string]int{}
	for k, row := range rows {
		i, ok := at[row.OpID]
		if !ok {
			i = len(out)
			at[row.OpID] = i
			a := wire.ApprovalAnswer{
				OpID:      row.OpID,
				Name:      row.Act,
				Request:   row.Request,
				State:     wire.ApprovalAsked,
				AskedAt:   wire.TimeNS(row.LogTime),
				ExpiresAt: wire.TimeNS(row.LogTime + projections.ApprovalFor),
				Seq:       row.Seq,
				Reason:    row.Op.Reason,
				Ticket:    row.Op.Ticket,
			}
			if o, err := decodeOperation(row.Operation); err == nil {
				a.Operation = o
			}
			out = append(out, a)
		}
		out[i].Actors = append(out[i].Actors, row.Op.Actor)
		if done[row.OpID] {
			out[i].State = wire.ApprovalDone
		} else if ap.seconded(row, rows[:k]) {
			out[i].State = wire.ApprovalApproved
		}
	}
	return out
}

// seconded reports whether an approval comes from another person than one before it of the same request.
func (ap *approvals) seconded(row projections.ApprovalRow, before []projections.ApprovalRow) bool {
	return slices.ContainsFunc(before, func(b projections.ApprovalRow) bool {
		return b.OpID == row.OpID &&
			ap.distinctPersons(b.Op, api.Identity{Actor: row.Op.Actor, Credential: row.Op.Credential})
	})
}
