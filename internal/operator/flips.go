package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// flips are the changes of a generation: of one that is compared with the active one now, or what its activation has
// recorded in history/, which is kept permanently.
type flips struct {
	against uint32
	upTo    uint64 // last event
	each    func(ctx context.Context, from uint64, fn func(*projections.Flip) bool) error

	comparison *fsm.Comparison            // nil for recorded ones
	activation *projections.ActivationRow // nil for a comparison
}

// flipsOf finds the changes of a generation up to position, 0 for all that there are. A generation that is active, or
// dropped, or that is not compared, has those that its last activation recorded.
func (gs *Generations) flipsOf(number uint32, position uint64) (*flips, error) {
	r, c, err := gs.comparison(number)
	if errors.Is(err, api.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		if a := gs.activationOf(number, position); a != nil {
			return gs.recorded(a, position)
		}
		return nil, err
	}
	f := &flips{against: c.Old(), upTo: cmp.Or(position, c.Seq()), comparison: c}
	if f.upTo > c.Seq() {
		return nil, wire.NewProblem(wire.CodeBehind,
			fmt.Sprintf("this node has compared up to event %d", c.Seq())).WithRetry(retryAfter)
	}
	f.each = func(ctx context.Context, from uint64, fn func(*projections.Flip) bool) error {
		return eachFlip(ctx, r, from, f.upTo, fn)
	}
	return f, nil
}

// eachFlip calls fn for the flips from <= seq <= to of a generation.
func eachFlip(ctx context.Context, r *recount.Running, from, to uint64, fn func(*projections.Flip) bool) error {
	v := r.View()
	defer v.Close()
	err := projections.EachFlip(v, from, to, func(f *projections.Flip) bool { return ctx.Err() == nil && fn(f) })
	return cmp.Or(err, ctx.Err())
}

// activationOf returns the last activation of a generation, or the first one that is not before position.
func (gs *Generations) activationOf(number uint32, position uint64) (found *projections.ActivationRow) {
	all := gs.core.control().Activations()
	for i := range all {
		if all[i].Generation != number {
			continue
		}
		if found = &all[i]; position != 0 && found.Seq >= position {
			return found
		}
	}
	return found
}

// recorded returns what an activation has recorded, up to position.
func (gs *Generations) recorded(a *projections.ActivationRow, position uint64) (*flips, error) {
	if position > a.Seq {
		return nil, stale("generation %d was activated by event %d, and its changes are recorded up to there",
			a.Generation, a.Seq)
	}
	_, ok, err := gs.core.Recounts.Change(a.Seq)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.NewProblem(wire.CodeNotReady, fmt.Sprintf("what the activation at event %d changed is not "+
			"recorded on this node yet; ask again", a.Seq)).WithRetry(retryAfter)
	}
	f := &flips{against: a.From, upTo: cmp.Or(position, a.Seq), activation: a}
	f.each = func(ctx context.Context, from uint64, fn func(*projections.Flip) bool) error {
		v := gs.core.Recounts.History()
		defer v.Close()
		err := v.EachFlip(a.Seq, from, f.upTo, func(x *projections.Flip) bool { return ctx.Err() == nil && fn(x) })
		return cmp.Or(err, ctx.Err())
	}
	return f, nil
}

// sums adds the changes up.
func (f *flips) sums(ctx context.Context) (*projections.FlipSums, error) {
	if f.comparison != nil {
		return f.comparison.Sums(ctx, f.upTo)
	}
	sums := projections.NewFlipSums()
	err := f.each(ctx, 1, func(x *projections.Flip) bool {
		sums.Add(x)
		return true
	})
	return sums, err
}

// digest returns the digest of the comparison up to here, or the one under which the generation was activated.
func (f *flips) digest() (string, error) {
	if f.activation != nil {
		return recount.DiffText(f.activation.Position, f.activation.Diff), nil
	}
	diff, _, err := f.comparison.Digest(f.upTo)
	return recount.DiffText(f.upTo, diff), err
}

// Diff sums up the changes of a generation up to position.
func (gs *Generations) Diff(ctx context.Context, number uint32, position uint64) (*wire.DiffAnswer, error) {
	f, err := gs.flipsOf(number, position)
	if err != nil {
		return nil, err
	}
	sums, err := f.sums(ctx)
	if err != nil {
		return nil, err
	}
	a := &wire.DiffAnswer{
		Generation: number,
		Against:    f.against,
		Position:   f.upTo,
		Flips:      sums.Flips,
		Direct:     sums.Direct,
		Indirect:   sums.Indirect,
		First:      sums.First,
		Last:       sums.Last,
		ByOutcome:  sums.ByOutcome,
		ByReason:   sums.ByReason,
		ByShard:    sums.ByShard,
		ByKey:      sums.ByKey,
	}
	if f.activation != nil {
		a.ActivatedSeq = f.activation.Seq
	}
	if a.Digest, err = f.digest(); err != nil {
		return nil, err
	}
	a.Events, err = gs.core.State.Submissions(f.upTo)
	return a, err
}

// flipsMost bounds the flips that one page of flips looks at. With a filter a page may be short, even empty,
// and have a next one.
const flipsMost = 20_000

// Flips lists the changes of a generation.
func (gs *Generations) Flips(ctx context.Context, q api.FlipsQuery) (api.FlipsResult, error) {
	f, err := gs.flipsOf(q.Generation, q.Position)
	if err != nil {
		return api.FlipsResult{}, err
	}
	out, looked := api.FlipsResult{Position: f.upTo}, 0
	err = f.each(ctx, q.FromSeq, func(f *projections.Flip) bool {
		if len(out.Items) == q.Limit || looked == flipsMost {
			out.Next = f.Seq
			return false
		}
		looked++
		if (q.Shard == "" || q.Shard == f.New.ShardID) && (q.Key == "" || q.Key == f.New.KeyID) &&
			(q.Reason == "" || q.Reason == f.New.ReasonCode()) {
			out.Items = append(out.Items, flipAnswer(f))
		}
		return true
	})
	return out, err
}
