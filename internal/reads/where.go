package reads

import (
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// Condition compiles a condition over the fields of a row. It implements api.Views.
func (vs *Views) Condition(text string) (api.Condition, error) {
	f, err := publish.CompileFilter(text)
	if err != nil {
		detail := strings.TrimPrefix(err.Error(), publish.ErrFilter.Error()+": ")
		return nil, wire.NewProblem(wire.CodeBadRequest, detail).WithField("filter")
	}
	return f, nil
}

// where returns the condition of the query, nil if there is none.
func (l *auditing) where() func(*projections.Result) (bool, error) {
	if l.q.Filter == nil {
		return nil
	}
	return func(r *projections.Result) (bool, error) {
		return l.q.Filter.Holds(func(name string) any { return l.field(r, name) })
	}
}

// field returns what a condition reads of a row.
func (l *auditing) field(r *projections.Result, name string) any {
	switch name {
	case "pcs_id":
		return r.PCSID
	case "shard_id":
		return r.ShardID
	case "key_id":
		return r.KeyID
	case "outcome":
		return r.Outcome.String()
	case "reason_code":
		return r.ReasonCode()
	case "policy":
		return l.outcomes.policy.of(r.Policy)
	case "reasons":
		return r.ReasonCodes()
	case "accepted":
		return r.Accepted
	case "replayed":
		return r.Replayed
	case "reverified":
		return r.Reverified
	case "evidence":
		return r.Evidence
	case "inputs_signed":
		return r.Facts.InputsSigned()
	}
	return l.number(r, name)
}

// number returns a number that a condition reads.
func (l *auditing) number(r *projections.Result, name string) int64 {
	switch name {
	case "seq":
		return int64(r.Seq)
	case "first_seq":
		return int64(r.FirstSeq)
	case "log_time":
		return r.LogTime
	case "received_at":
		return r.ReceivedAt
	case "epoch":
		return r.Epoch
	case "status":
		return int64(statusOf(r))
	case "recomputed_d_hat":
		return int64(r.DHat)
	case "recomputed_budget":
		return int64(r.Budget)
	case "generation":
		if r.Generation != 0 {
			return int64(r.Generation)
		}
		return int64(l.of)
	}
	panic("a field that rows do not have: " + name)
}
