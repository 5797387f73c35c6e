package auditor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// tail is about the end of the log of a stopped node, behind what the node knew to be committed. Nobody may have
// committed it: a leader that crashes has such entries, and others may be in their place in the ledger. If a checkpoint
// shows that, the audit ends before them. The events from there on are not checked, and the checkpoint is not compared.
func (w *work) tail(ctx context.Context, r *Report) error {
	if err := w.awaitDerived(ctx); err != nil {
		return err
	}
	end := w.derived.Cursor().Seq
	known, err := w.committed(end)
	if err != nil || known == end {
		return err
	}
	other, err := w.replaced(known, end)
	switch {
	case err != nil:
		return err
	case other == nil:
		r.not("that events %d to %d are in the ledger: no member is known to have committed them", known+1, end)
		return nil
	case known == 0:
		r.unchecked("%s is of other events, and no member is known to have committed any event of %s", other.by,
			r.From)
		return fmt.Errorf("%w: %s", ErrUnchecked, r.Unchecked[0])
	}
	r.not("events %d to %d: no member is known to have committed them, and %s is of other events", known+1, end,
		other.by)
	return w.endAt(ctx, known, end)
}

// committed returns the last event up to end that is known to be committed: by the node, or from a checkpoint that has
// the root of the events.
func (w *work) committed(end uint64) (known uint64, err error) {
	floor := w.store.Floor()
	within := func(seq uint64) bool {
		index, _, failed := w.derived.Locate(seq)
		err = errors.Join(err, failed)
		return index <= floor
	}
	last := func() uint64 { // an entry is committed whole
		return uint64(sort.Search(int(end), func(i int) bool { return !within(uint64(i) + 1) }))
	}
	known = last()
	for _, k := range w.kept {
		if err != nil || k.at <= known || k.at > end {
			continue
		}
		root, failed := w.derived.Root(k.at)
		if err = errors.Join(err, failed); err == nil && root == [32]byte(k.log) {
			floor, _, err = w.derived.Locate(k.at)
			known = last()
		}
	}
	return known, err
}

// replaced returns a checkpoint of events behind the last one that is known to be committed, in whose place the log has
// others.
func (w *work) replaced(known, end uint64) (*claim, error) {
	for i := range w.kept {
		k := &w.kept[i]
		if k.at <= known || k.at > end {
			continue
		}
		if root, err := w.derived.Root(k.at); err != nil || root != [32]byte(k.log) {
			return k, err
		}
	}
	return nil, nil
}

// endAt folds the log again, up to the entry of an event.
func (w *work) endAt(ctx context.Context, seq, end uint64) (err error) {
	w.limit, _, err = w.derived.Locate(seq)
	if err = errors.Join(err, w.endDerived(), w.derived.Close(), w.store.Close()); err != nil {
		return err
	}
	w.derived, w.store, w.stop, w.cut = nil, nil, nil, end
	if err := w.forget(); err != nil {
		return err
	}
	return w.open(ctx, 0)
}

// setAside takes out the checkpoints of events behind the end of an audit that ends before a tail of the log. They are
// neither right nor wrong.
func (a *audit) setAside() {
	if a.w.cut == 0 {
		return
	}
	end := a.w.derived.Cursor().Seq
	a.kept = slices.DeleteFunc(a.kept, func(k claim) bool {
		if k.at <= end {
			return false
		}
		a.r.unchecked("%s covers %d events. Of those of %s, only the first %d are known to be committed. Audit another "+
			"member, or the cluster", k.by, k.at, a.Source.Name(), end)
		return true
	})
	a.r.Checkpoints = slices.DeleteFunc(a.r.Checkpoints, func(c Checkpoint) bool { return c.Size > end })
}
