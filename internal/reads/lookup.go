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

// Lookup returns the current answer for a pcs_id, with its earlier ones. An id that nothing occupies any more
// is shown with the last submission that did.
func (v *view) Lookup(_ context.Context, pcsID string) (*wire.PCSAnswer, error) {
	snapshot := v.of.View()
	defer snapshot.Close()
	found, err := projections.Lookup(snapshot, pcsID)
	if errors.Is(err, projections.ErrNotFound) {
		found, err = v.lookupFormer(snapshot, pcsID)
	}
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	found.Current.Generation = v.at.Generation
	a := &wire.PCSAnswer{SubmitAnswer: intake.Answer(found.Current), Events: found.Seqs}
	a.History, err = v.historyOf(pcsID, &found.Current)
	return a, err
}

// lookupFormer finds an id that only an earlier generation knew.
func (v *view) lookupFormer(snapshot *fsm.View, pcsID string) (projections.Found, error) {
	recorded, err := v.gens.Recorded(pcsID, historyLimit)
	if err != nil {
		return projections.Found{}, err
	}
	if len(recorded) == 0 {
		return projections.Found{}, projections.ErrNotFound
	}
	var f projections.Found
	for _, x := range recorded {
		if !slices.Contains(f.Seqs, x.Flip.Seq) {
			f.Seqs = append(f.Seqs, x.Flip.Seq)
		}
	}
	slices.Sort(f.Seqs)
	f.Current, err = projections.Row(snapshot, f.Seqs[len(f.Seqs)-1])
	return f, err
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

// historyLimit bounds the flips that one answer shows.
const historyLimit = 1000

// historyOf returns the outcomes of a pcs_id: a pair of entries for every flip, or the standing result when
// nothing ever flipped.
func (v *view) historyOf(pcsID string, standing *projections.Result) ([]wire.HistoryEntry, error) {
	recorded, err := v.gens.Recorded(pcsID, historyLimit)
	if err != nil {
		return nil, err
	}
	out := []wire.HistoryEntry{}
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
		add(a.From, &x.Flip.Old, x.Flip.Seq)
		add(a.Generation, &x.Flip.New, x.Activation)
	}
	if len(recorded) == 0 && standing != nil {
		add(v.at.Generation, standing, standing.Seq)
	}
	slices.SortStableFunc(out, func(a, b wire.HistoryEntry) int {
		return cmp.Or(cmp.Compare(a.FromSeq, b.FromSeq), cmp.Compare(a.Seq, b.Seq))
	})
	return out, nil
}
