package reads

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// lookupGone finds the answer of a dropped generation to an id after an event. It looks at the submissions that have a
// part in the id in the active generation, or that an activation changed. Outcome and accepted of each come from
// outcomes.after, as in a list.
func (v *view) lookupGone(ctx context.Context, look *outcomes, pcsID string,
	asOf uint64) (f projections.Found, standing outcome, err error) {
	changed, err := v.recorded(pcsID, projections.Latest)
	if err != nil {
		return f, standing, err
	}
	snapshot := look.active.View()
	defer snapshot.Close()
	f.Seqs, err = projections.NewestOf(snapshot, pcsID, asOf, historyLimit)
	if err != nil {
		return f, standing, v.orGone(err)
	}
	f.Seqs = append(f.Seqs, flipped(changed)...)
	slices.Sort(f.Seqs)
	f.Seqs = slices.DeleteFunc(slices.Compact(f.Seqs), func(seq uint64) bool { return seq > asOf })
	var then []outcome // of those that had a part in the id
	f.Seqs = slices.DeleteFunc(f.Seqs, func(seq uint64) bool {
		var now projections.Result
		var o outcome
		if err = errors.Join(err, ctx.Err()); err != nil {
			return false
		}
		if now, err = projections.Row(snapshot, seq); err == nil {
			o, err = look.after(asOf, &now)
		}
		if err != nil || o.row.Outcome == verify.Refused {
			return err == nil
		}
		then = append(then, o)
		return false
	})
	if err != nil {
		return f, standing, v.orGone(err)
	}
	if i := stands(then); i >= 0 {
		f.Current, standing = then[i].row, then[i]
		return f, standing, nil
	}
	return v.formerlyGone(look, pcsID, asOf)
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
func (v *view) formerlyGone(look *outcomes, pcsID string,
	asOf uint64) (f projections.Found, standing outcome, err error) {
	recorded, err := v.recorded(pcsID, asOf)
	if err == nil && len(recorded) == 0 {
		err = projections.ErrNotFound
	}
	if err != nil {
		return f, standing, err
	}
	f.Seqs = flipped(recorded)
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
