package export

import (
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// rows stores what a fold writes and reads back. It leaves out indexes, which have no value and are read by
// lists only.
type rows map[string][]byte

func (r rows) Get(key []byte) ([]byte, error) { return r[string(key)], nil }
func (r rows) Delete(key []byte)              { delete(r, string(key)) }

func (r rows) Set(key, value []byte) {
	if len(value) > 0 {
		r[string(key)] = slices.Clone(value)
	}
}

// Scan does nothing, because no fold lists rows.
func (r rows) Scan(_, _ []byte, _ bool, _ func(k, v []byte) bool) error {
	return errors.New("export: a fold has scanned its rows")
}

// recount folds the whole log again, as a node does, and compares all outcomes and the digests at the end. It
// keeps a row for every record in memory.
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
		err = w.lists(control, tx)
	}
	if err == nil {
		err = w.generationsAgain(control)
	}
	if errors.Is(err, errFold) {
		w.fault(CheckHistory, "%v", err)
		return nil
	}
	return err
}

// errFold means that the fold cannot continue.
var errFold = errors.New("the log cannot be folded")

// items reads the events again.
func (w *walk) items(fold func(*projections.Item) error) error {
	return EachEvent(w.ctx, w.dir, func(e *Event) error {
		at, err := wire.ParseTime(e.LogTime)
		if err != nil {
			return err
		}
		kind := event.Kind(e.Leaf.Kind)
		it := projections.Item{
			Seq:        e.Seq,
			Index:      e.Index,
			Term:       e.Term,
			RawTime:    e.Leaf.RawTimeNS,
			LogTime:    at.UnixNano(),
			Kind:       kind,
			Event:      event.Event{Kind: kind, Payload: e.Payload},
			PayloadSHA: sumBytes(e.Payload),
		}
		if err := fold(&it); err != nil {
			return fmt.Errorf("%w: %w", errFold, err)
		}
		w.Progress.tell(StageRecount, e.Seq, w.m.Range.ToSeq)
		return nil
	})
}

// generationsAgain folds every generation that the answers speak of, one after the other. Of those that were
// started after the range nothing is known here.
func (w *walk) generationsAgain(control *projections.Control) error {
	told, err := w.told()
	if err != nil {
		return err
	}
	for _, g := range control.Generations() {
		if told[g.Number] {
			if err := w.foldAgain(control, g.Number); err != nil {
				return err
			}
		}
		delete(told, g.Number)
	}
	for number := range told {
		if i := int64(number) - 1; i < 0 || i >= int64(len(w.generations)) ||
			w.generations[i].StartedSeq <= w.m.Range.ToSeq {
			w.fault(CheckHistory, "there are answers of generation %d, which never was", number)
		}
	}
	return nil
}
