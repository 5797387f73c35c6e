package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/audit"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// refusedOperationsPerSecond bounds how many lines refused operations may write into the audit stream. Anybody can send
// them.
const refusedOperationsPerSecond = 50

// auditor writes the audit stream of a node. A nil stream writes nothing.
type auditor struct {
	stream  *audit.Stream
	refused *limit.Buckets            // of refused operations
	explain func(error) *wire.Problem // returns nil for an error that has no damaged store as its cause
}

// newAuditor opens the stream that the settings name. Without one it writes nothing.
func newAuditor(cfg AuditLog, log *slog.Logger, explain func(error) *wire.Problem) (*auditor, error) {
	a := &auditor{
		refused: limit.NewBuckets(1, refusedOperationsPerSecond, limit.Burst(refusedOperationsPerSecond)),
		explain: explain,
	}
	if cfg.File == "" {
		return a, nil
	}
	var err error
	a.stream, err = audit.Open(audit.Options{File: cfg.File, MaxBytes: cfg.MaxBytes, Keep: cfg.Keep, Logger: log})
	return a, err
}

// submission writes the line of a submission that was looked at. A submission that was refused unread, by a
// limit or because the node is not ready, has no line. The metrics count it.
func (a *auditor) submission(s intake.Seen, meta api.Meta, answer *wire.SubmitAnswer, err error) {
	if a.stream == nil || s.Rec == nil {
		return
	}
	l := audit.Submission{
		PCSID:     cut(s.Rec.PCSID),
		ShardID:   cut(s.Rec.ShardID),
		KeyID:     s.KeyID,
		RequestID: meta.RequestID,
	}
	if f := s.Rec.Fault; f == nil || f.Class == pcs.ClassIDMismatch {
		l.Epoch = &s.Rec.Epoch
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
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), a.explain(err) != nil:
		l.Outcome, l.Error = wire.LabelUnknown, string(wire.CodeOutcomeUnknown)
	default:
		l.Outcome, l.Error = wire.LabelError, string(wire.CodeInternal)
	}
	a.stream.Submission(l)
}

// cut bounds how much of a record with a wrong structure a line contains.
func cut(s string) string {
	if len(s) > pcs.MaxShardID {
		return s[:pcs.MaxShardID]
	}
	return s
}

// access writes the line of a read that was refused. Operations have theirs when they are answered.
func (a *auditor) access(r api.RefusedOperation) {
	if r.Method == http.MethodGet {
		a.line(audit.EventAccessRefused, api.Operation{
			Actor:     r.Actor,
			Role:      string(r.Role),
			Route:     r.Method + " " + r.Route,
			Status:    r.Status,
			RequestID: r.RequestID,
		})
	}
}

// operation writes the line of an operation.
func (a *auditor) operation(o api.Operation) { a.line(audit.EventOperation, o) }

func (a *auditor) line(event string, o api.Operation) {
	if a.stream == nil {
		return
	}
	if o.Status >= 400 {
		if _, ok := a.refused.Take(""); !ok {
			a.stream.Drop()
			return
		}
	}
	a.stream.Operation(audit.Operation{
		Event:     event,
		Actor:     o.Actor,
		Role:      o.Role,
		Route:     o.Route,
		Target:    o.Target,
		Status:    o.Status,
		OpID:      o.OpID,
		RequestID: o.RequestID,
	})
}
