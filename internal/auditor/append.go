package auditor

import (
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/export"
)

// Bounds of what is written to the log at once.
const (
	batchBytes   = 4 << 20
	batchEntries = 1024
)

// differs is a difference that ends the reading of a source.
type differs struct {
	from, to uint64
	what     string
}

func (d *differs) Error() string { return fmt.Sprintf("event %d: %s", d.from, d.what) }

// appender makes entries of events, each with the events that one entry of the cluster had: all events of an entry
// have the time of its proposer, from which log time is computed. The numbers of entries are not those of the
// cluster, which has entries without events.
type appender struct {
	w     *work
	had   uint64 // events of earlier runs
	next  uint64 // event
	total uint64 // last event of the source
	pack  event.Pack
	entry uint64 // of the cluster
	size  int    // bytes of batch
	batch [][]byte
}

// appender opens the log and goes on behind its last event. total is the last event of the source.
func (w *work) appender(ctx context.Context, total uint64) (*appender, error) {
	if err := w.open(ctx, 0); err != nil {
		return nil, err
	}
	if err := w.awaitDerived(ctx); err != nil {
		return nil, err
	}
	had := w.derived.Cursor().Seq
	return &appender{w: w, had: had, next: had + 1, total: total}, nil
}

// add takes the next event of the source. It compares those that an earlier run took.
func (a *appender) add(e *export.Event) error {
	leaf, hash, fault := e.Check()
	switch at := a.w.shown + 1; {
	case e.Seq != at:
		return &differs{at, at, fmt.Sprintf("event %d stands in its place", e.Seq)}
	case fault != "":
		return &differs{at, at, fault}
	case at <= a.had:
		return a.again(at, hash)
	case len(e.Payload) < event.SaltSize || leaf.Kind == 0:
		return &differs{at, at, "it is no event: its payload is too short, or it has no kind"}
	}
	if len(a.pack.Events) > 0 && (e.Index != a.entry || leaf.RawTime != a.pack.ProposedAt ||
		len(a.pack.Events) == event.MaxEvents) {
		if err := a.seal(); err != nil {
			return err
		}
	}
	a.entry, a.pack.ProposedAt = e.Index, leaf.RawTime
	a.pack.Events = append(a.pack.Events, event.Event{Kind: leaf.Kind, Payload: e.Payload})
	a.next++
	a.w.shown = e.Seq
	return nil
}

// again compares an event of the source with the one that an earlier run took.
func (a *appender) again(seq uint64, hash [32]byte) error {
	a.w.shown = seq
	have, err := a.w.derived.Leaf(seq)
	if err == nil && have != hash {
		err = a.w.other(seq, seq, fmt.Sprintf("the source has another event than in the earlier run in %s", a.w.dir))
	}
	return err
}

// all is called after the last event. It returns a difference if a source that shows its events from the first on has
// fewer than an earlier run took.
func (a *appender) all() error {
	if a.w.shown >= a.had {
		return nil
	}
	return a.w.fewer(a.had)
}

// fewer is the difference of a source that ends before the event had of an earlier run.
func (w *work) fewer(had uint64) error {
	return w.other(w.shown+1, had, fmt.Sprintf("missing: the earlier run in %s took %d events, and there are %d",
		w.dir, had, w.shown))
}

// seal ends an entry.
func (a *appender) seal() error {
	if len(a.pack.Events) == 0 {
		return nil
	}
	if n := a.pack.Size(); n > event.MaxPackBytes {
		at := a.next - uint64(len(a.pack.Events))
		return &differs{at, a.next - 1, fmt.Sprintf("an entry of %d bytes, more than any node writes", n)}
	}
	a.pack.Mark()
	b := a.pack.Append(nil)
	a.pack = event.Pack{}
	a.batch, a.size = append(a.batch, b), a.size+len(b)
	if a.size < batchBytes && len(a.batch) < batchEntries {
		return nil
	}
	return a.flush()
}

func (a *appender) flush() error {
	if len(a.batch) == 0 {
		return nil
	}
	err := a.w.store.Append(a.batch...)
	a.batch, a.size = nil, 0
	a.w.tell("events", a.next-1, a.total)
	return err
}

// end writes what is left when the reading of a source ended, with its error. The events of the last entry are
// written only if there was none: others of the same entry may be missing.
func (a *appender) end(failed error) error {
	if failed == nil {
		failed = a.seal()
	}
	return errors.Join(failed, a.flush())
}
