package node

import (
	"context"
	"errors"
	"net/http"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/audit"
	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// refusedActsPerSecond bounds what refused acts may write into the audit stream: anybody can send them.
const refusedActsPerSecond = 50

func (n *Node) openAudit() (err error) {
	n.refusedActs = limit.NewBuckets(1, refusedActsPerSecond)
	if n.cfg.Audit.File == "" {
		return nil
	}
	n.audit, err = audit.Open(audit.Options{File: n.cfg.Audit.File, MaxBytes: n.cfg.Audit.MaxBytes, Keep: n.cfg.Audit.Keep, Logger: n.log})
	return err
}

// Reopen opens the file of the audit stream again, after its name was moved away.
func (n *Node) Reopen() { n.audit.Reopen() }

// seen is what a node has learned of a submission when it answers; rec is nil when it has not looked at it.
type seen struct {
	rec   *pcs.Record
	keyID string
}

// auditSubmission writes the line of a submission that was looked at. What was turned away unread, by a limit or because
// the node is not ready, has no line; it is counted in the metrics.
func (n *Node) auditSubmission(s *seen, meta api.Meta, answer *wire.SubmitAnswer, err error) {
	if n.audit == nil || s.rec == nil {
		return
	}
	l := audit.Submission{PCSID: cut(s.rec.PCSID), ShardID: cut(s.rec.ShardID), KeyID: s.keyID, RequestID: meta.RequestID}
	if f := s.rec.Fault; f == nil || f.Class == pcs.ClassIDMismatch {
		l.Epoch = &s.rec.Epoch
	}
	var p *wire.Problem
	switch {
	case answer != nil:
		l.Outcome, l.Escalated, l.RecomputedDHat = answer.Outcome, answer.Escalated, answer.RecomputedDHat
		l.Accepted, l.ReasonCode, l.Replayed = answer.Accepted, answer.ReasonCode, answer.Replayed
		l.Seq, l.Policy = answer.Seq, answer.Policy
	case errors.As(err, &p):
		l.Outcome, l.Seq, l.Policy, l.Error = p.OutcomeLabel(), p.Seq, p.Policy, string(p.Code)
		l.ReasonCode = p.ReasonCode
		if p.Code == wire.CodeBadSignature {
			l.Event = audit.EventSignatureFailure
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), n.explain(err) != nil:
		l.Outcome, l.Error = wire.LabelUnknown, string(wire.CodeOutcomeUnknown)
	default:
		l.Outcome, l.Error = wire.LabelError, string(wire.CodeInternal)
	}
	n.audit.Submission(l)
}

// cut bounds what a record that is wrong in structure can bring into a line.
func cut(s string) string {
	if len(s) > pcs.MaxShardID {
		return s[:pcs.MaxShardID]
	}
	return s
}

// auditRefused writes the line of a read that was not let through. Acts have theirs when they are answered.
func (n *Node) auditRefused(r api.RefusedAct) {
	if r.Method == http.MethodGet {
		n.auditLine(audit.EventAccessRefused, api.Act{Actor: r.Actor, Role: string(r.Role), Route: r.Method + " " + r.Route, Status: r.Status, RequestID: r.RequestID})
	}
}

// auditAct writes the line of an operator's act.
func (n *Node) auditAct(a api.Act) { n.auditLine(audit.EventOperatorAct, a) }

func (n *Node) auditLine(event string, a api.Act) {
	if n.audit == nil {
		return
	}
	if a.Status >= 400 {
		if _, ok := n.refusedActs.Take(""); !ok {
			n.audit.Drop()
			return
		}
	}
	n.audit.Act(audit.Act{Event: event, Actor: a.Actor, Role: a.Role, Route: a.Route, Target: a.Target, Status: a.Status, OpID: a.OpID, RequestID: a.RequestID})
}
