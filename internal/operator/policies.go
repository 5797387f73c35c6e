package operator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"math"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// Policies publishes policies and applies them.
type Policies struct {
	core      *core
	approvals *approvals
}

// PublishPolicy checks a document and puts its canonical form into the log.
func (pr *Policies) PublishPolicy(ctx context.Context, r wire.PolicyRequest,
	meta api.Meta) (*wire.PolicyAnswer, bool, error) {
	p, err := publish.Parse([]byte(r.Document))
	if err != nil {
		return nil, false, wire.NewProblem(wire.CodeBadPolicy, err.Error())
	}
	if err := pr.core.RequireCapabilities(ctx, p); err != nil {
		return nil, false, err
	}
	m := &event.PolicyPublishedV1{Policy: p.Canonical(), Source: []byte(r.Document), Op: pr.core.op(r.Op, meta)}
	_, effect, err := pr.core.commit(ctx, event.PolicyPublished, m)
	if err != nil {
		return nil, false, err
	}
	row, ok := pr.core.control().Published(p.ID())
	if !ok {
		return nil, false, opIDReused(r.OpID)
	}
	a, err := pr.policyAnswer(row, true, 0)
	return a, effect == projections.Applied, err
}

// policyAnswer describes a policy after an event, 0 for now.
func (pr *Policies) policyAnswer(row projections.PublishedRow, whole bool, asOf uint64) (*wire.PolicyAnswer, error) {
	active := pr.core.Recounts.Serving().Number()
	if asOf != 0 {
		active = pr.core.control().ActiveAfter(asOf)
	}
	inForce, ok := pr.core.control().For(active).PolicyAt(cmp.Or(asOf, math.MaxInt64))
	a := &wire.PolicyAnswer{
		ID:        hex.EncodeToString(row.ID[:]),
		Seq:       row.Seq,
		At:        wire.TimeNS(row.LogTime),
		Kernel:    row.Policy.Kernel,
		Rules:     len(row.Policy.Rules),
		InForce:   ok && inForce.ID == row.ID,
		Reason:    row.Op.Reason,
		Ticket:    row.Op.Ticket,
		Actor:     row.Op.Actor,
		Role:      row.Op.Role,
		Intervals: pr.intervalsOf(row.ID, cmp.Or(asOf, math.MaxInt64)),
	}
	if !whole {
		return a, nil
	}
	if a.Source = string(row.Source); bytes.Equal(row.Source, row.Policy.Canonical()) {
		// The genesis has no source text. This text can be published again.
		a.Source = string(publish.Document(row.Policy))
	}
	return a, json.Unmarshal(row.Policy.Canonical(), &a.Canonical)
}

// byWords has the words for projections.Began.
var byWords = [...]string{projections.BeganGenesis: wire.ByGenesis, projections.BeganApplied: wire.ByApplied,
	projections.BeganActivated: wire.ByActivated, projections.BeganRolledBack: wire.ByRolledBack}

// intervalsOf returns the stretches of the log up to an event in which a policy was in force.
func (pr *Policies) intervalsOf(policy [32]byte, upTo uint64) (out []wire.PolicyInterval) {
	for _, i := range pr.core.control().InForce() {
		if i.Policy != policy || i.FromSeq > upTo {
			continue
		}
		if i.ToSeq > upTo {
			i.ToSeq = 0
		}
		w := wire.PolicyInterval{
			FromSeq:    i.FromSeq,
			From:       wire.TimeNS(i.FromTime),
			ToSeq:      i.ToSeq,
			By:         byWords[i.Began],
			Generation: i.Generation,
			Actor:      i.Op.Actor,
			Role:       i.Op.Role,
			Reason:     i.Op.Reason,
			Ticket:     i.Op.Ticket,
		}
		if i.ToSeq != 0 {
			w.To = wire.TimeNS(i.ToTime)
		}
		out = append(out, w)
	}
	return out
}

// Policies lists what was published, after an event, 0 for now.
func (pr *Policies) Policies(_ context.Context, asOf uint64) ([]wire.PolicyAnswer, error) {
	out := []wire.PolicyAnswer{}
	for _, row := range pr.core.control().Policies() {
		if asOf != 0 && row.Seq > asOf {
			break
		}
		a, err := pr.policyAnswer(row, false, asOf)
		if err != nil {
			return nil, err
		}
		out = append(out, *a)
	}
	return out, nil
}

// Policy gives one published policy, after an event, 0 for now.
func (pr *Policies) Policy(_ context.Context, id string, asOf uint64) (*wire.PolicyAnswer, error) {
	row, ok := pr.core.published(id)
	if !ok || asOf != 0 && row.Seq > asOf {
		return nil, api.ErrNotFound
	}
	return pr.policyAnswer(row, true, asOf)
}

// ApplyPolicy puts a published policy in force from now on, in every generation.
func (pr *Policies) ApplyPolicy(ctx context.Context, id string, r wire.ApplyRequest,
	meta api.Meta) (*wire.ApplyAnswer, error) {
	if err := pr.core.current(ctx); err != nil {
		return nil, err
	}
	row, ok := pr.core.published(id)
	if !ok {
		return nil, api.ErrNotFound
	}
	if pr.core.control().OpSeq(r.OpID) == 0 {
		o := wire.PendingOperation{Name: wire.OperationApply, Policy: id}
		if err := pr.approvals.require(ctx, o, "apply policy "+id+" to new submissions", r.Op, meta); err != nil {
			return nil, err
		}
	}
	m := &event.PolicyAppliedV1{Policy: row.ID[:], Op: pr.core.op(r.Op, meta)}
	seq, err := pr.core.commitOnce(ctx, event.PolicyApplied, m, stale("the policy could not be applied"))
	if err != nil {
		return nil, err
	}
	return &wire.ApplyAnswer{Policy: id, Seq: seq}, nil
}
