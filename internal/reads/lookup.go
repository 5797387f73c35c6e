package reads

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// Lookup returns the answer for a pcs_id, with its earlier ones. An id that nothing occupies any more is shown with the
// last submission that did.
func (v *view) Lookup(ctx context.Context, pcsID string, t api.Then) (*wire.PCSAnswer, error) {
	if !t.Past() {
		e := v.now()
		found, err := v.lookup(ctx, pcsID, &e)
		return v.pcsAnswer(found, &e, err)
	}
	look := v.outcomes()
	defer look.close()
	e, err := v.then(ctx, look, t)
	if err != nil {
		return nil, err
	}
	standing := outcome{of: e.number, activeThen: e.number}
	var found projections.Found
	if e.from != nil {
		found, err = v.lookup(ctx, pcsID, &e)
		standing.row = found.Current
	} else {
		found, standing, err = v.lookupGone(ctx, look, pcsID, e.asOf)
		e.number = standing.of
	}
	a, err := v.pcsAnswer(found, &e, err)
	if err == nil && e.asOf != 0 {
		then := look.answer(&standing)
		a.AsOf, a.Then = e.asOf, &then
	}
	return a, err
}

// pcsAnswer renders what was found of a pcs_id, or the reason why nothing was.
func (v *view) pcsAnswer(found projections.Found, e *earlier, err error) (*wire.PCSAnswer, error) {
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, e.orGone(v.state, err)
	}
	found.Current.Generation = e.number
	a := &wire.PCSAnswer{SubmitAnswer: intake.Answer(found.Current), Events: found.Seqs}
	a.History, a.More, err = v.historyOf(&found.Current, e)
	a.More = a.More || found.More
	return a, err
}

// lookup finds an id in the rows of a generation.
func (v *view) lookup(ctx context.Context, pcsID string, e *earlier) (projections.Found, error) {
	snapshot := e.from.View()
	defer snapshot.Close()
	found, err := projections.LookupAt(until(ctx, snapshot), pcsID, e.upTo)
	if errors.Is(err, projections.ErrNotFound) {
		return v.lookupFormer(ctx, snapshot, pcsID, e.upTo)
	}
	if errors.Is(err, projections.ErrFar) {
		err = tooFar(e.asOf, "the record")
	}
	return found, err
}

// lookupFormer finds an id that only an earlier generation knew, as of an event.
func (v *view) lookupFormer(ctx context.Context, snapshot *fsm.View, pcsID string,
	upTo uint64) (f projections.Found, err error) {
	if f.Seqs, f.More, err = v.flipped(ctx, pcsID, upTo); err != nil {
		return f, err
	}
	if len(f.Seqs) == 0 {
		return f, projections.ErrNotFound
	}
	f.Current, err = projections.Row(snapshot, f.Seqs[len(f.Seqs)-1])
	return f, err
}

// recorded returns what the activations up to an event changed of a pcs_id. more means that there is more before it.
func (v *view) recorded(pcsID string, upTo uint64) (newest []fsm.Recorded, more bool, err error) {
	newest, err = v.gens.Recorded(pcsID, upTo, historyLimit+1)
	if more = len(newest) > historyLimit; more {
		newest = newest[1:]
	}
	return newest, more, err
}

// flipped lists the submissions of a pcs_id that an activation up to an event changed, ascending: the newest ones. more
// means that there are older ones.
func (v *view) flipped(ctx context.Context, pcsID string, upTo uint64) (seqs []uint64, more bool, err error) {
	for {
		recorded, err := v.gens.Recorded(pcsID, upTo, historyLimit+1)
		if err != nil {
			return nil, false, err
		}
		for _, x := range recorded {
			seqs = append(seqs, x.Flip.Seq)
		}
		var cut bool
		if seqs, cut = newestOf(seqs); cut {
			more = true
		}
		if len(recorded) <= historyLimit {
			return seqs, more, ctx.Err()
		}
		// the newest submissions of this activation are there, and not those of earlier ones, which can be newer
		if upTo = recorded[historyLimit].Activation - 1; ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
	}
}

// newestOf sorts submissions and keeps the newest that one answer shows. more means that there are older ones.
func newestOf(seqs []uint64) (newest []uint64, more bool) {
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	left := max(len(seqs), historyLimit) - historyLimit
	return seqs[left:], left > 0
}

// Complete lists the pcs_ids that begin with prefix, including those that only an earlier generation knew.
func (v *view) Complete(_ context.Context, prefix string, limit int) ([]string, error) {
	snapshot := v.of.View()
	defer snapshot.Close()
	ids, err := projections.Complete(snapshot, prefix, limit)
	if err != nil {
		return nil, err
	}
	former, err := v.gens.Complete(prefix, limit)
	if err != nil {
		return nil, err
	}
	ids = append(ids, former...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), limit)], nil
}

// historyLimit bounds the submissions and the flips that one answer shows.
const historyLimit = 1000

// historyOf returns the outcomes of a pcs_id: a pair of entries for every flip, or the standing result when
// nothing ever flipped. more means that it has the outcomes of the newest flips alone.
func (v *view) historyOf(standing *projections.Result, e *earlier) (out []wire.HistoryEntry, more bool, err error) {
	recorded, more, err := v.recorded(standing.PCSID, e.upTo)
	if err != nil {
		return nil, false, err
	}
	out = []wire.HistoryEntry{}
	activations := map[uint64]projections.ActivationRow{}
	for _, a := range v.state.Control().Activations() {
		activations[a.Seq] = a
	}
	add := func(generation uint32, r *projections.Result, from uint64) {
		e := wire.HistoryEntry{
			Generation: generation,
			Policy:     hex.EncodeToString(r.Policy[:]),
			Outcome:    r.Outcome.String(),
			Accepted:   r.Accepted,
			ReasonCode: r.ReasonCode(),
			Seq:        r.Seq,
			FromSeq:    from,
		}
		if !slices.ContainsFunc(out, func(x wire.HistoryEntry) bool {
			return x.Seq == e.Seq && x.FromSeq == e.FromSeq
		}) {
			out = append(out, e)
		}
	}
	for _, x := range recorded {
		a := activations[x.Activation]
		if !more { // otherwise an earlier flip may be left out, and nothing says since when the old outcome stood
			add(a.From, &x.Flip.Old, x.Flip.Seq)
		}
		add(a.Generation, &x.Flip.New, x.Activation)
	}
	if len(recorded) == 0 {
		add(e.number, standing, standing.Seq)
	}
	slices.SortStableFunc(out, func(a, b wire.HistoryEntry) int {
		return cmp.Or(cmp.Compare(a.FromSeq, b.FromSeq), cmp.Compare(a.Seq, b.Seq))
	})
	return out, more, nil
}
