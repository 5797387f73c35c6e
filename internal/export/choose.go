package export

import (
	"context"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// choose determines the range: the requested one, limited to the end of the ledger.
func (w *writer) choose() error {
	if err := w.head(); err != nil {
		return err
	}
	first, last := max(w.FromSeq, 1), w.ToSeq
	if last == 0 {
		last = w.m.Head
	}
	switch {
	case last > w.m.Head:
		return fmt.Errorf("%w: the ledger ends with event %d, before event %d", ErrRange, w.m.Head, last)
	case first > last:
		return fmt.Errorf("%w: event %d comes after event %d, the last one", ErrRange, first, last)
	}
	r := &w.m.Range
	for _, bound := range []struct {
		at   time.Time
		text *string
	}{{w.Since, &r.Since}, {w.Until, &r.Until}} {
		if !bound.at.IsZero() {
			*bound.text = wire.Time(bound.at)
		}
	}
	if err := w.byTime(first, last); err != nil {
		return err
	}
	r.Shard = w.Shard
	return nil
}

// head finds the last committed event. Unless Options.Local is set, a majority confirms it.
func (w *writer) head() error {
	q := client.AuditQuery{Limit: 1, Read: client.Read{Consistency: wire.ConsistencyLinearizable}}
	if w.Local {
		q.Consistency = wire.ConsistencyLocal
	}
	page, err := call(w, func(ctx context.Context) (*wire.AuditPage, error) { return w.c.AuditPage(ctx, q) })
	if err != nil {
		return err
	}
	if w.m.Head = page.AppliedSeq; w.m.Head == 0 {
		return fmt.Errorf("%w: the ledger is empty", ErrRange)
	}
	return nil
}

// byTime narrows the range to the requested times. Log time never runs backwards, so a binary search finds
// their bounds.
func (w *writer) byTime(first, last uint64) error {
	var err error
	if !w.Since.IsZero() {
		if first, err = w.search(first, last+1, w.Since); err != nil {
			return err
		}
	}
	if !w.Until.IsZero() && first <= last {
		var after uint64
		if after, err = w.search(first, last+1, w.Until); err != nil {
			return err
		}
		last = after - 1
	}
	if first > last {
		return fmt.Errorf("%w: no event has a log time in it", ErrRange)
	}
	r := &w.m.Range
	r.FromSeq, r.ToSeq = first, last
	from, err := w.event(first)
	if err != nil {
		return err
	}
	to, err := w.event(last)
	if err == nil {
		r.FirstTime, r.LastTime = from.LogTime, to.LogTime
	}
	return err
}

// search returns the first event in [low, high) whose log time is not before at, or high if there is none.
func (w *writer) search(low, high uint64, at time.Time) (uint64, error) {
	for low < high {
		middle := low + (high-low)/2
		e, err := w.event(middle)
		if err != nil {
			return 0, err
		}
		t, err := wire.ParseTime(e.LogTime)
		if err != nil {
			return 0, fmt.Errorf("%w: log time %q of event %d: %w", ErrDiffers, e.LogTime, middle, err)
		}
		if t.Before(at) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

func (w *writer) event(seq uint64) (*wire.EventAnswer, error) {
	return call(w, func(ctx context.Context) (*wire.EventAnswer, error) {
		return w.c.Event(ctx, seq, client.Read{MinSeq: seq})
	})
}
