package export

import (
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// foldAgain folds one generation and compares every answer that is said to be of it.
func (w *walk) foldAgain(control *projections.Control, number uint32) error {
	answers, err := openLines[wire.AuditItem](w.dir, VerdictsFile)
	if err != nil {
		return err
	}
	defer answers.file.Close()
	g, tx, view := projections.NewGeneration(number), rows{}, control.For(number)
	err = w.items(func(it *projections.Item) error {
		r, err := g.Fold(tx, it, view)
		if err != nil || it.Kind != event.Submission {
			return err
		}
		v, err := answers.next()
		if err != nil {
			return err
		}
		if number == w.m.Generation {
			w.looked(CheckHistory)
		}
		if what := w.otherwise(&r, v, number); what != "" {
			w.fault(CheckHistory, "event %d: folded again generation %d gives it another %s: %s %s", it.Seq,
				number, what, r.Outcome, r.ReasonCode())
		} else if by := control.ActiveAfter(it.Seq); v.Was.Generation != by {
			w.fault(CheckHistory, "event %d was answered by generation %d first, not by %d", it.Seq, by,
				v.Was.Generation)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, sum := g.Digest(); number == w.m.End.Generation && hex.EncodeToString(sum[:]) != w.m.End.State {
		w.fault(CheckHistory, "the outcomes hash to %x, and the manifest says %s", sum, w.m.End.State)
	}
	return nil
}

// otherwise names what the answers to an event say other than a generation that is folded again, "" for
// nothing. The answer of a generation that is gone may be told by another one: outcome and accepted are the
// same then, if it stood, and nothing else need be.
func (w *walk) otherwise(r *projections.Result, v *wire.AuditItem, number uint32) string {
	switch {
	case number == w.m.Generation && r.Outcome.String() != v.Outcome:
		return "outcome"
	case number == w.m.Generation && r.Accepted != v.Accepted:
		return "accepted"
	case number == v.Was.Generation && !shortOf(r, &v.Was):
		return "first answer"
	case v.Now != nil && number == v.Now.Generation && !shortOf(r, v.Now):
		return "answer of now"
	case number != v.Generation:
		return ""
	}
	return rowOf(r, v)
}

// shortOf reports whether the short form of an answer is that of a row. What is not known any more is left out of it.
func shortOf(r *projections.Result, a *wire.AuditAnswer) bool {
	if r.Outcome.String() != a.Outcome || r.Accepted != a.Accepted {
		return false
	}
	return a.Status == 0 && a.ReasonCode == "" && a.Policy == "" ||
		a.Status == wire.StatusOf(a.Outcome, r.Reason.String()) && a.ReasonCode == r.ReasonCode() &&
			a.Policy == hex.EncodeToString(r.Policy[:])
}

// rowOf names what an answer says other than the row that it tells of.
func rowOf(r *projections.Result, v *wire.AuditItem) string {
	first := r.FirstSeq
	if first == r.Seq {
		first = 0
	}
	switch {
	case r.Outcome.String() != v.Outcome || r.Accepted != v.Accepted:
		return "outcome"
	case r.ReasonCode() != v.ReasonCode || !slices.Equal(r.ReasonCodes(), v.Reasons):
		return "reason"
	case r.ReasonText() != v.Reason:
		return "text of its reason"
	case hex.EncodeToString(r.Policy[:]) != v.Policy:
		return "policy"
	case r.PCSID != v.PCSID || r.ShardID != v.ShardID || r.Epoch != v.Epoch:
		return "identity"
	case r.Replayed != v.Replayed || r.Reverified != v.Reverified || r.Evidence != v.Evidence || first != v.FirstSeq:
		return "place among the records of its id"
	case r.KeyID != v.KeyID:
		return "key"
	case r.HasDHat != (v.RecomputedDHat != nil) || r.HasDHat && r.DHat != *v.RecomputedDHat ||
		r.Budget != v.RecomputedBudget:
		return "value"
	}
	return ""
}

// told are the generations that the answers and the manifest speak of.
func (w *walk) told() (map[uint32]bool, error) {
	all := map[uint32]bool{w.m.Generation: true, w.m.End.Generation: true}
	answers, err := openLines[wire.AuditItem](w.dir, VerdictsFile)
	if err != nil {
		return nil, err
	}
	defer answers.file.Close()
	for {
		v, err := answers.next()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all[v.Generation], all[v.Was.Generation] = true, true
		if v.Now != nil {
			all[v.Now.Generation] = true
		}
	}
}
