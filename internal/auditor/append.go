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
	return &appender{w: w, next: w.derived.Cursor().Seq + 1, total: total}, nil
}

// add takes the next event. It skips those that the log has.
func (a *appender) add(e *export.Event) error {
	if e.Seq < a.next && e.Seq > 0 {
		return nil
	}
	leaf, _, fault := e.Check()
	switch {
	case e.Seq != a.next:
		return &differs{a.next, a.next, fmt.Sprintf("event %d stands in its place", e.Seq)}
	case fault != "":
		return &differs{e.Seq, e.Seq, fault}
	case len(e.Payload) < event.SaltSize || leaf.Kind == 0:
		return &differs{e.Seq, e.Seq, "it is no event: its payload is too short, or it has no kind"}
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
	return nil
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
