package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// rows keeps what a fold writes and reads back. Indexes have no value and only lists read them, so they are left out.
type rows map[string][]byte

func (r rows) Get(key []byte) ([]byte, error) { return r[string(key)], nil }
func (r rows) Delete(key []byte)              { delete(r, string(key)) }

func (r rows) Set(key, value []byte) {
	if len(value) > 0 {
		r[string(key)] = slices.Clone(value)
	}
}

// Scan is for lists, which no fold makes.
func (r rows) Scan(_, _ []byte, _ bool, _ func(k, v []byte) bool) error {
	return errors.New("export: a fold has scanned its rows")
}

// recount folds the whole log again, as a node does, and compares every answer and the digests at the end. It holds a row for
// every record in memory.
func (w *walk) recount() error {
	switch {
	case !w.Recount:
		return nil
	case w.m.Range.FromSeq != 1 || w.m.Range.Shard != "":
		w.not(CheckHistory, "need every event from the first on")
		return nil
	case w.failed(CheckEvents) || w.failed(CheckTime) || w.failed(CheckDigest) || w.failed(CheckAnswers):
		w.not(CheckHistory, "an earlier check failed")
		return nil
	}
	w.begin(CheckHistory, "the same, folded again; digests too")
	w.lookedAll(CheckHistory, 0)
	control, tx := projections.NewControl(), rows{}
	err := w.items(func(it *projections.Item) error { return control.Fold(tx, it) })
	if err == nil {
		err = w.foldAgain(control)
	}
	if errors.Is(err, errFold) {
		w.fault(CheckHistory, "%v", err)
		return nil
	}
	return err
}

// errFold means that the fold cannot go on.
var errFold = errors.New("the log cannot be folded")

// items reads the events once more.
func (w *walk) items(fold func(*projections.Item) error) error {
	events, err := openLines[Event](w.dir, EventsFile)
	if err != nil {
		return err
	}
	defer events.file.Close()
	for {
		e, err := events.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, w.ctx.Err()); err != nil {
			return err
		}
		at, err := wire.ParseTime(e.LogTime)
		if err != nil {
			return err
		}
		kind := event.Kind(e.Leaf.Kind)
		it := projections.Item{Seq: e.Seq, Index: e.Index, Term: e.Term, RawTime: e.Leaf.RawTimeNS, LogTime: at.UnixNano(), Kind: kind,
			Event: event.Event{Kind: kind, Payload: e.Payload}, PayloadSHA: sumBytes(e.Payload)}
		if err := fold(&it); err != nil {
			return fmt.Errorf("%w: %w", errFold, err)
		}
		w.Progress.tell(StageRecount, e.Seq, w.m.Range.ToSeq)
	}
}

// foldAgain folds the generation that answered at the end.
func (w *walk) foldAgain(control *projections.Control) error {
	answers, err := openLines[wire.AuditItem](w.dir, VerdictsFile)
	if err != nil {
		return err
	}
	defer answers.file.Close()
	number := w.m.Generation
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
		w.looked(CheckHistory)
		if what := otherwise(&r, v, number); what != "" {
			w.fault(CheckHistory, "event %d: folded again it has another %s: %s %s, and the answer was %s %s", it.Seq, what,
				r.Outcome, r.ReasonCode(), v.Outcome, v.ReasonCode)
		}
		return nil
	})
	if err != nil {
		return err
	}
	end := w.m.End
	if _, sum := control.Digest(); hex.EncodeToString(sum[:]) != end.Control {
		w.fault(CheckHistory, "the control state hashes to %x, and the manifest says %s", sum, end.Control)
	}
	if _, sum := g.Digest(); number == end.Generation && hex.EncodeToString(sum[:]) != end.State {
		w.fault(CheckHistory, "the outcomes hash to %x, and the manifest says %s", sum, end.State)
	}
	return nil
}

// otherwise names what an answer says other than the fold, "" for nothing. Of another generation outcome and accepted are the
// same, if its answer stood, and nothing else need be.
func otherwise(r *projections.Result, v *wire.AuditItem, generation uint32) string {
	first := r.FirstSeq
	if first == r.Seq {
		first = 0
	}
	switch {
	case r.Outcome.String() != v.Outcome:
		return "outcome"
	case r.Accepted != v.Accepted:
		return "accepted"
	case v.Generation != generation:
		return ""
	case r.ReasonCode() != v.ReasonCode || !slices.Equal(r.ReasonCodes(), v.Reasons):
		return "reason"
	case hex.EncodeToString(r.Policy[:]) != v.Policy:
		return "policy"
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
