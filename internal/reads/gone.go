package reads

import (
	"context"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// lookupGone finds the answer of a dropped generation to an id after an event. It looks at the submissions that have a
// part in the id in the active generation, or that an activation changed. Outcome and accepted of each come from
// outcomes.after, as in a list.
func (v *view) lookupGone(ctx context.Context, look *outcomes, pcsID string,
	asOf uint64) (f projections.Found, standing outcome, err error) {
	changed, more, err := v.flipped(ctx, pcsID, projections.Latest)
	if err != nil {
		return f, standing, err
	}
	snapshot := look.active.View()
	defer snapshot.Close()
	f.Seqs, err = projections.NewestOf(until(ctx, snapshot), pcsID, asOf, historyLimit)
	if err != nil {
		return f, standing, v.orGone(err)
	}
	from := uint64(0) // all submissions from there on are known
	if more {
		from = changed[0]
	}
	if len(f.Seqs) == historyLimit {
		more, from = true, max(from, f.Seqs[0])
	}
	f.More = more
	f.Seqs = append(f.Seqs, changed...)
	slices.Sort(f.Seqs)
	f.Seqs = slices.DeleteFunc(slices.Compact(f.Seqs), func(seq uint64) bool { return seq < from || seq > asOf })
	var then []outcome
	if f.Seqs, then, err = look.parts(ctx, snapshot, f.Seqs, asOf); err != nil {
		return f, standing, v.orGone(err)
	}
	i := stands(then)
	switch {
	case f.More && (i < 0 || then[i].row.Replayed): // what stood may be one that is left out
		return f, standing, tooFar(asOf, "the record")
	case i < 0:
		return v.formerlyGone(ctx, look, pcsID, asOf)
	}
	f.Current = then[i].row
	return f, then[i], nil
}

// parts keeps the submissions that had a part in their id after an event, with their outcomes.
func (o *outcomes) parts(ctx context.Context, rows *fsm.View, seqs []uint64,
	asOf uint64) (kept []uint64, then []outcome, err error) {
	for _, seq := range seqs {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		now, err := projections.Row(rows, seq)
		if err != nil {
			return nil, nil, err
		}
		had, err := o.after(asOf, &now)
		if err != nil {
			return nil, nil, err
		}
		if had.row.Outcome != verify.Refused {
			kept, then = append(kept, seq), append(then, had)
		}
	}
	return kept, then, nil
}

// stands returns the index of the submission that stood: the last one that was judged and counted. If all rows repeat a
// judgement, the first of them was the judgement: it is a replay in the generation of its row alone.
func stands(then []outcome) int {
	first := -1
	for i := range slices.Backward(then) {
		if then[i].row.Outcome == verify.Conflict {
			continue
		}
		if first = i; !then[i].row.Replayed {
			break
		}
	}
	return first
}

// formerlyGone is lookupFormer of a generation that is dropped.
func (v *view) formerlyGone(ctx context.Context, look *outcomes, pcsID string,
	asOf uint64) (f projections.Found, standing outcome, err error) {
	if f.Seqs, f.More, err = v.flipped(ctx, pcsID, asOf); err == nil && len(f.Seqs) == 0 {
		err = projections.ErrNotFound
	}
	if err != nil {
		return f, standing, err
	}
	now, ok, err := look.rowOf(look.active.Number(), f.Seqs[len(f.Seqs)-1])
	if err == nil && !ok {
		err = gone(v.state, look.active.Number())
	}
	if err != nil {
		return f, standing, err
	}
	standing, err = look.after(asOf, &now)
	f.Current = standing.row
	return f, standing, err
}

// tooFar is the problem of a read as of an event that would look at too many rows.
func tooFar(asOf uint64, what string) error {
	return wire.NewProblem(wire.CodeBadRequest,
		fmt.Sprintf("%s has more submissions before and after event %d than one read looks at; "+
			"GET /v1/audit?as_of=%d lists them", what, asOf, asOf)).WithField("as_of")
}

// shardsGone is the problem of shards as of an event whose generation is dropped. Nothing says which of its submissions
// counted.
func shardsGone(e *earlier) error {
	return wire.NewProblem(wire.CodeReplaced,
		fmt.Sprintf("generation %d, which answered after event %d, is dropped, and its shards with it; "+
			"GET /v1/audit?as_of=%d has its outcomes", e.number, e.asOf, e.asOf))
}
