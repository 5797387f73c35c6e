package intake

import (
	"context"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// replayMargin keeps the replay shortcut away from the end of the dedup period, where only the fold can tell.
const replayMargin = time.Hour

// replay answers a repeated record from the serving generation, as a linearizable read, without a new event. It
// returns nil for a record that is not provably a plain replay. The fold decides then.
func (in *Intake) replay(ctx context.Context, q *inquiry, v *visit) *wire.SubmitAnswer {
	rec, facts := v.rec, v.facts
	if in.o.Generations.Serving().IsNew(rec.ShardID, rec.Epoch) || rec.CheckID() != nil ||
		!in.isReplay(rec, facts, nil) {
		return nil
	}
	if err := in.confirm(ctx, q); err != nil {
		return nil
	}
	var first projections.Result
	if !in.isReplay(rec, facts, &first) {
		return nil
	}
	a := Answer(first)
	a.Replayed, a.DHat = true, claimedDHat(rec, facts)
	return &a
}

// isReplay compares every verdict input and the key with those of the judgement that stands. It stores that
// judgement in first.
func (in *Intake) isReplay(rec *pcs.Record, facts verify.Facts, first *projections.Result) bool {
	if in.refusedFirst(rec, facts) {
		return false
	}
	serving, now := in.o.Generations.Serving(), in.o.Clock.LogTime()
	view := serving.View()
	defer view.Close()
	t := rec.Tuple(facts.Profile)
	c := &projections.Prepared{Rec: rec, Facts: facts, Signed: rec.SignedDigest(t), Inputs: rec.InputsDigest(t)}
	ttl := in.policy().Params.DedupTTL - int64(replayMargin)
	r, ok, err := projections.Standing(view, c, now, ttl)
	if err != nil || !ok {
		return false
	}
	if first != nil {
		r.Generation = serving.Number()
		*first = r
	}
	return true
}

// repeats gives a conflicting or malformed record the refusal that it got before: from the serving generation, as
// a linearizable read, without a new event. The first event is the evidence. It returns nil for a record that is
// not provably such a repetition. The fold decides then.
func (in *Intake) repeats(ctx context.Context, q *inquiry, v *visit) error {
	body, rec, facts := v.body, v.rec, v.facts
	if rec.Fault == nil && rec.CheckID() == nil && in.o.Generations.Serving().IsNew(rec.ShardID, rec.Epoch) ||
		!in.isRefusedAgain(body, rec, facts, nil) {
		return nil
	}
	if err := in.confirm(ctx, q); err != nil {
		return nil
	}
	var first projections.Result
	if !in.isRefusedAgain(body, rec, facts, &first) {
		return nil
	}
	in.counts(q.meta).Repeats.Add(1)
	_, problem := in.answer(rec, first)
	return problem
}

// isRefusedAgain looks for the event that refused the same before, and stores its result in first.
func (in *Intake) isRefusedAgain(body []byte, rec *pcs.Record, facts verify.Facts, first *projections.Result) bool {
	serving, policy := in.o.Generations.Serving(), in.policy()
	now := in.o.Clock.LogTime()
	c := &projections.Prepared{Sub: event.Sub{Body: body}, Rec: rec, Facts: facts}
	verdict, refused := verify.Refuses(policy, rec, facts)
	if c.Verdict = verdict; !refused {
		if !in.permitted(rec, facts) {
			return false
		}
		t := rec.Tuple(facts.Profile)
		c.Signed, c.Inputs = rec.SignedDigest(t), rec.InputsDigest(t)
	}
	view := serving.View()
	defer view.Close()
	r, ok, err := projections.Again(view, c, now, policy.Params.DedupTTL-int64(replayMargin))
	if err != nil || !ok {
		return false
	}
	if first != nil {
		r.Generation = serving.Number()
		if r.First != nil {
			r.First.Generation = serving.Number()
		}
		*first = r
	}
	return true
}
