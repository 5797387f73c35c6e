package intake

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// MaxBatched bounds the records of all batches that this node works on at a time. Those of single submissions are not
// among them: they never wait for a batch to come to its end, only for the packs that are before them in the queue.
const MaxBatched = 512

// visit is one record on its way through this node.
type visit struct {
	body   []byte
	rec    *pcs.Record  // nil until it is decoded
	facts  verify.Facts // who signed it
	asked  bool         // a quorum was asked before a freeze is the answer
	seen   Seen
	enters bool        // it enters the log, and the fold decides
	share  limit.Share // of the queue, while it enters
	answer *wire.SubmitAnswer
	err    error
}

// inquiry is shared by records that came together. One question to a quorum answers all of them.
type inquiry struct {
	meta  api.Meta
	asked bool
	err   error
}

// confirm waits until this node has folded everything that was acknowledged before these records came. It asks the other
// nodes once.
func (in *Intake) confirm(ctx context.Context, q *inquiry) error {
	if !q.asked {
		q.asked, q.err = true, in.o.Confirm(ctx)
	}
	return q.err
}

// batch takes records in an order that it keeps: once a record was not taken, and has to be sent again, no later
// record of its shard enters the log. Else a later epoch would overtake an earlier one, which the fold would refuse
// then. It implements api.Batch.
type batch struct {
	in   *Intake
	meta api.Meta
	many bool             // else there is no later record
	held map[string]error // by shard: an earlier record was not taken
	over error            // nothing more enters
}

// Batch begins a batch. It implements api.Submitter.
func (in *Intake) Batch(meta api.Meta) (api.Batch, error) {
	if p := in.refuseNow(); p != nil {
		return nil, p
	}
	return &batch{in: in, meta: meta, many: true}, nil
}

// Submit takes a group of records. Groups of different addresses take turns.
func (b *batch) Submit(ctx context.Context, bodies [][]byte) []api.Submitted {
	all := make([]visit, len(bodies))
	for i, body := range bodies {
		all[i].body = body
	}
	leave, ok := b.in.turns.Enter(ctx, limit.Prefix(b.meta.Remote), len(bodies), halfOf(ctx))
	if ok {
		defer leave()
	} else if b.over == nil {
		b.over = wire.NewProblem(wire.CodeOverloaded, "this node works on too many batches").WithRetry(retryAfter)
	}
	b.take(ctx, all)
	out := make([]api.Submitted, len(all))
	for i := range all {
		out[i] = api.Submitted{Answer: all[i].answer, Err: all[i].err}
	}
	return out
}

// halfOf returns half of the time that is left before ctx ends. A group whose turn came at the last moment would have no time
// to be committed, and its outcome would be unknown.
func halfOf(ctx context.Context) time.Duration {
	until, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(until) / 2
}

// take answers records that came together, in their order.
func (b *batch) take(ctx context.Context, all []visit) {
	q := inquiry{meta: b.meta}
	entering := 0
	for i := range all {
		if v := &all[i]; b.over != nil {
			v.err = b.over
		} else if v.err = b.in.look(ctx, &q, v); v.enters {
			entering++
		}
	}
	b.commit(ctx, &q, all, entering)
	if p := b.in.o.Withheld(); p != nil {
		b.withhold(all, p)
	}
	if b.meta.DryRun {
		return
	}
	for i := range all {
		b.in.o.Answered(all[i].seen, b.meta, all[i].answer, all[i].err)
	}
}

// withhold takes the answers back: while they were made, this node found out that what it has folded may be wrong. What
// is in the log stays there, so another node has the right answer to the same record.
func (b *batch) withhold(all []visit, p *wire.Problem) {
	for i := range all {
		switch v := &all[i]; {
		case v.err != nil && !isFinal(v.err):
		case v.enters && !b.meta.DryRun:
			v.answer, v.err = nil, wire.NewProblem(wire.CodeOutcomeUnknown, "").WithRetry(retryAfter)
		default:
			v.answer, v.err = nil, p
		}
	}
}

// hold keeps later records from overtaking one that was not taken. Without a decoded record this node took nothing.
func (b *batch) hold(v *visit) {
	switch {
	case !b.many || b.over != nil:
	case v.rec == nil:
		b.over = notOvertaking(v.err)
	case v.rec.ShardID == "" || b.held[v.rec.ShardID] != nil: // without a shard it moves no epoch
	default:
		if b.held == nil {
			b.held = map[string]error{}
		}
		b.held[v.rec.ShardID] = notOvertaking(v.err)
	}
}

// notOvertaking returns the problem of a record behind one that failed with err.
func notOvertaking(err error) *wire.Problem {
	retry := retryAfter
	var p *wire.Problem
	if errors.As(err, &p) {
		retry = max(retry, time.Duration(p.RetryAfterMS)*time.Millisecond)
	}
	return wire.NewProblem(wire.CodeOverloaded,
		"an earlier record of this batch was not taken, and this one must not overtake it").WithRetry(retry)
}

// isFinal reports whether a record that failed with err fails again when it is repeated.
func isFinal(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
}

// commit puts the records that enter into the log, next to each other, and turns their folded outcomes into
// answers. A record behind one that was not taken does not enter. A dry run goes as far as the log and gets the
// outcomes that the fold would give.
func (b *batch) commit(ctx context.Context, q *inquiry, all []visit, entering int) {
	in := b.in
	defer func() {
		for i := range all {
			if all[i].enters {
				all[i].share.Leave()
			}
		}
	}()
	var events []event.Event
	free := 0
	if entering > 0 {
		events = make([]event.Event, 0, entering)
		queued, _ := in.o.Log.Stats()
		free = in.o.QueueBytes - queued
	}
	for i := range all {
		switch v := &all[i]; {
		case v.err != nil && !isFinal(v.err):
			b.hold(v)
		case !v.enters:
		case b.over != nil:
			v.enters, v.err = false, b.over
		case b.held[v.rec.ShardID] != nil:
			v.enters, v.err = false, b.held[v.rec.ShardID]
		default:
			events = b.enter(ctx, v, free, events)
		}
	}
	switch {
	case len(events) == 0:
	case b.meta.DryRun:
		b.foretell(ctx, q, all, events)
	default:
		b.append(ctx, all, events)
	}
}

// enter appends the event of a record to events, unless the record gets no share of the queue or fails its last check.
func (b *batch) enter(ctx context.Context, v *visit, free int, events []event.Event) []event.Event {
	var ev event.Event
	v.share, v.err = b.in.limits.acquire(v.facts.KeyID, b.meta.Remote, len(v.body), free)
	v.enters = v.err == nil
	if v.enters {
		if ev, v.err = b.in.submission(b.meta, v); v.err == nil {
			if err := b.in.o.CheckOwn(ctx, ev); err != nil {
				v.err = wire.NewProblem(wire.CodeOverloaded, err.Error()).WithRetry(retryAfter)
			}
		}
		if v.err != nil {
			v.share.Leave()
			v.enters = false
		}
	}
	if v.err != nil {
		b.hold(v)
		return events
	}
	return append(events, ev)
}

// append commits the events of the records that enter, and answers these records.
func (b *batch) append(ctx context.Context, all []visit, events []event.Event) {
	in := b.in
	in.o.Generations.Submitted()
	results, place, err := in.o.Log.Submit(ctx, events...)
	if err != nil {
		if err = in.o.Problem(err); b.many {
			b.over = notOvertaking(err)
		}
	}
	next := 0
	for i := range all {
		v := &all[i]
		switch {
		case !v.enters:
		case err != nil:
			v.err = err
		default:
			if v.answer, v.err = in.answerPlaced(v.rec, v.facts, results[next], place); v.err != nil && !isFinal(v.err) {
				b.hold(v)
			}
			next++
		}
	}
}

// foretell answers the records of a dry run.
func (b *batch) foretell(ctx context.Context, q *inquiry, all []visit, events []event.Event) {
	next := 0
	for i := range all {
		v := &all[i]
		if !v.enters {
			continue
		}
		result, err := b.in.foretell(ctx, q, events[next])
		if next++; err != nil {
			v.err = err
			continue
		}
		v.answer, v.err = b.in.answer(v.rec, result)
	}
}
