package reads

import (
	"context"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// auditBatch bounds the rows that one batch reads when some are left out only after their event was read.
const auditBatch = 500

// Audit lists folded submissions.
func (v *view) Audit(ctx context.Context, q api.AuditQuery) (api.AuditResult, error) {
	if err := v.Answers(); err != nil {
		return api.AuditResult{}, err
	}
	l := &auditing{
		v:        v,
		q:        q,
		outcomes: v.outcomes(),
		control:  v.state.Control(),
		head:     v.state.Cursor().Seq,
		read:     v.state.Events(),
	}
	defer l.outcomes.close()
	out, err := l.list(ctx)
	return out, v.orGone(err)
}

// auditing holds one batch of the audit list.
type auditing struct {
	v        *view
	q        api.AuditQuery
	outcomes *outcomes
	control  *projections.Control
	head     uint64
	read     func(uint64) (event.Event, error)

	rows *fsm.View // the generation that is listed
	of   uint32
	asOf uint64 // 0: as of now
}

func (l *auditing) list(ctx context.Context) (api.AuditResult, error) {
	query, err := auditQuery(l.q)
	if err != nil {
		return api.AuditResult{}, err
	}
	query.Where = l.where()
	from, asOf, err := l.outcomes.resolve(ctx, l.q.Then)
	if err != nil {
		return api.AuditResult{}, err
	}
	l.rows, l.of, l.asOf = from.View(), from.Number(), asOf
	defer l.rows.Close()
	if from != l.outcomes.active { // every row of the list has one in the active generation
		if err := awaitRows(ctx, l.outcomes.active, from.Cursor().Seq); err != nil {
			return api.AuditResult{}, err
		}
	}
	l.lookBack(&query)
	page, err := projections.Audit(until(ctx, l.rows), query)
	if err != nil {
		return api.AuditResult{}, err
	}
	out := api.AuditResult{Next: page.Next, AsOf: l.asOf, Items: make([]wire.AuditItem, 0, len(page.Rows))}
	for i := range page.Rows {
		if err := ctx.Err(); err != nil {
			return api.AuditResult{}, err
		}
		if len(out.Items) == l.q.Limit {
			out.Next = page.Rows[i].Seq
			break
		}
		item, ok, err := l.item(&page.Rows[i])
		if err != nil {
			return api.AuditResult{}, err
		}
		if ok {
			out.Items = append(out.Items, item)
		}
	}
	return out, nil
}

// auditQuery returns the part of a query that the rows alone can answer.
func auditQuery(q api.AuditQuery) (projections.Query, error) {
	out := projections.Query{
		Shard:   q.Shard,
		Key:     q.Key,
		PCS:     q.PCS,
		Since:   q.Since,
		Until:   q.Until,
		FromSeq: q.FromSeq,
		ToSeq:   q.ToSeq,
		Limit:   q.Limit,
		Reverse: q.Newest,
	}
	var err error
	if q.Outcome != "" {
		if out.Outcome, err = verify.ParseOutcome(q.Outcome); err != nil {
			return out, wire.NewProblem(wire.CodeBadRequest, err.Error()).WithField("outcome")
		}
	}
	if q.Reason != "" {
		if out.Reason, err = verify.ParseReason(q.Reason); err != nil {
			return out, wire.NewProblem(wire.CodeBadRequest, err.Error()).WithField("reason")
		}
	}
	if q.Policy != "" {
		out.Policy = func(id [32]byte) bool { return strings.HasPrefix(hex.EncodeToString(id[:]), q.Policy) }
	}
	if q.UnknownShards || q.Remote.IsValid() {
		out.Limit = max(out.Limit, auditBatch)
	}
	return out, nil
}

// lookBack replaces the rows of an earlier time by the outcomes of that time.
func (l *auditing) lookBack(query *projections.Query) {
	if query.UpTo = l.asOf; l.asOf == 0 {
		return
	}
	query.Then = func(r *projections.Result) error {
		then, err := l.outcomes.after(l.asOf, r)
		*r, r.Generation = then.row, then.of
		return err
	}
}

// item joins a row with its submission and with its outcomes at other times. ok is false when the list is of
// other shards or addresses.
func (l *auditing) item(r *projections.Result) (a wire.AuditItem, ok bool, err error) {
	if l.q.UnknownShards && (r.ShardID == "" || l.control.ShardKnown(r.ShardID, l.head)) {
		return a, false, nil
	}
	if a, err = l.auditItem(r); err != nil || l.q.Remote.IsValid() && !within(l.q.Remote, a.Remote) {
		return a, false, err
	}
	if a.Generation = l.of; r.Generation != 0 {
		a.Generation = r.Generation
	}
	now := r
	if l.of != l.outcomes.active.Number() || l.asOf != 0 {
		row, found, err := l.outcomes.rowOf(l.outcomes.active.Number(), r.Seq)
		if err == nil && !found {
			err = gone(l.v.state, l.v.at.Generation)
		}
		if err != nil {
			return a, false, err
		}
		now = &row
		present := outcome{row: row, of: l.outcomes.active.Number(), activeThen: l.outcomes.active.Number()}
		answer := l.outcomes.answer(&present)
		a.Now = &answer
	}
	was, err := l.outcomes.after(r.Seq, now)
	a.Was = l.outcomes.answer(&was)
	return a, err == nil, err
}

// within reports whether a recorded address is in a range.
func within(r netip.Prefix, recorded string) bool {
	at, err := netip.ParseAddr(recorded)
	return err == nil && r.Contains(at.Unmap().WithZone(""))
}

// auditItem joins a row with its submission.
func (l *auditing) auditItem(r *projections.Result) (wire.AuditItem, error) {
	a := wire.AuditItem{
		Seq:              r.Seq,
		LogTime:          wire.TimeNS(r.LogTime),
		ReceivedAt:       wire.TimeNS(r.ReceivedAt),
		PCSID:            r.PCSID,
		ShardID:          r.ShardID,
		Epoch:            r.Epoch,
		KeyID:            r.KeyID,
		Status:           statusOf(r),
		Outcome:          r.Outcome.String(),
		Accepted:         r.Accepted,
		ReasonCode:       r.ReasonCode(),
		Reasons:          r.ReasonCodes(),
		Reason:           r.ReasonText(),
		RecomputedBudget: r.Budget,
		Policy:           l.outcomes.policy.of(r.Policy),
		Replayed:         r.Replayed,
		Reverified:       r.Reverified,
		Evidence:         r.Evidence,
		InputsSigned:     r.Facts.InputsSigned(),
	}
	if r.HasDHat {
		a.RecomputedDHat = nano.Ptr(r.DHat)
	}
	if r.FirstSeq != r.Seq {
		a.FirstSeq = r.FirstSeq
	}
	ev, err := l.read(r.Seq)
	if err != nil {
		return a, err
	}
	sub, err := event.DecodeSubmission(ev.Payload)
	if err != nil {
		return a, err
	}
	a.Node, a.RequestID, a.Remote = sub.Node, sub.RequestID, sub.Remote
	if r.Facts.Valid() {
		if rec := pcs.Decode(sub.Body); rec.Signable {
			a.DHat = nano.Ptr(rec.Tuple(r.Facts.Profile).DHat)
		}
	}
	return a, nil
}
