package reads

import (
	"context"
	"errors"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// History returns every answer that was given to the submissions of a pcs_id, from the rows and from history/ alone. It has
// the newest submissions of an id that has more than one answer shows.
func (v *view) History(ctx context.Context, pcsID string) (*wire.PCSHistory, error) {
	look := v.outcomes()
	defer look.close()
	snapshot := look.active.View()
	defer snapshot.Close()
	found, err := projections.Lookup(until(ctx, snapshot), pcsID)
	if err != nil && !errors.Is(err, projections.ErrNotFound) {
		return nil, v.orGone(err)
	}
	changed, older, err := v.flipped(ctx, pcsID, projections.Latest)
	if err != nil {
		return nil, err
	}
	seqs, more := newestOf(slices.Concat(found.Seqs, changed))
	if len(seqs) == 0 {
		return nil, api.ErrNotFound
	}
	out := &wire.PCSHistory{
		PCSID:      pcsID,
		More:       more || older || found.More,
		AppliedSeq: v.at.AppliedSeq,
		Generation: look.active.Number(),
	}
	for _, seq := range seqs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now, err := projections.Row(snapshot, seq)
		if err != nil {
			return nil, err
		}
		answers, err := look.given(&now)
		if err != nil {
			return nil, err
		}
		out.Submissions = append(out.Submissions, wire.SubmissionHistory{Seq: seq, Answers: answers})
	}
	return out, nil
}

// given returns the first answer to a submission, and every later one that has another outcome or another accepted.
// now is its row in the active generation.
func (o *outcomes) given(now *projections.Result) ([]wire.GivenAnswer, error) {
	first, err := o.after(now.Seq, now)
	if err != nil {
		return nil, err
	}
	out := []wire.GivenAnswer{o.givenBy(&first, now.Seq, now.LogTime)}
	for i := range o.activations {
		a := &o.activations[i]
		if a.Seq <= now.Seq {
			continue
		}
		then, err := o.after(a.Seq, now)
		if err != nil {
			return nil, err
		}
		last := &out[len(out)-1]
		if then.row.Accepted == last.Accepted && then.row.Outcome.String() == last.Outcome {
			continue
		}
		g := o.givenBy(&then, a.Seq, a.LogTime)
		if g.By = wire.ByActivated; a.Rollback {
			g.By = wire.ByRolledBack
		}
		g.Actor, g.Reason, g.Ticket = a.Op.Actor, a.Op.Reason, a.Op.Ticket
		out = append(out, g)
	}
	return out, nil
}

// givenBy returns an answer that an event at seq made one.
func (o *outcomes) givenBy(at *outcome, seq uint64, logTime int64) wire.GivenAnswer {
	g := wire.GivenAnswer{
		AuditAnswer: o.answer(at),
		FromSeq:     seq,
		At:          wire.TimeNS(logTime),
		By:          wire.BySubmitted,
	}
	if at.of == at.activeThen {
		g.CausedBySeq = at.row.CausedBySeq
	}
	return g
}
