package pgscript

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// waiting answers as nodes do that have folded up to head: they wait for a later event until the time is up.
type waiting struct {
	*fake
	head uint64
	asks []client.AuditQuery
}

func (w *waiting) AuditPage(ctx context.Context, q client.AuditQuery) (*wire.AuditPage, error) {
	w.asks = append(w.asks, q)
	if q.MinSeq > w.head {
		return nil, context.DeadlineExceeded
	}
	page, err := w.fake.AuditPage(ctx, q)
	if err == nil {
		page.AppliedSeq = w.head
	}
	return page, err
}

// TestCursorBeyondTheEnd: a cursor that is beyond the end of the ledger is an error that gives both ends, whatever the
// generation of the cursor, and nothing is printed. A cursor at the end is none, nor one that a single node has not
// reached yet.
func TestCursorBeyondTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		after Cursor
		full  bool
		local bool
		want  error
	}{
		"at the end":                        {after: Cursor{2, 10}},
		"one beyond":                        {after: Cursor{2, 11}, want: ErrBeyond},
		"far beyond":                        {after: Cursor{2, 1 << 40}, want: ErrBeyond},
		"of a generation that answers not":  {after: Cursor{1, 11}, want: ErrBeyond},
		"all again":                         {after: Cursor{2, 11}, full: true, want: ErrBeyond},
		"of one node, which may come to it": {after: Cursor{2, 11}, local: true, want: context.DeadlineExceeded},
		"of one node, which has come to it": {after: Cursor{2, 10}, local: true},
		"before the end":                    {after: Cursor{2, 3}},
		"of empty tables":                   {},
	} {
		w := &waiting{fake: newFake(2), head: 10}
		feed, out := w.feed(c.after)
		feed.Source, feed.Full, feed.Local = w, c.full, c.local
		err := feed.Run(t.Context())
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want != nil && (out.Len() > 0 || feed.After != c.after) {
			t.Errorf("%s: it wrote %q and went on to %+v", name, out, feed.After)
		}
		if errors.Is(err, ErrBeyond) && (!strings.Contains(err.Error(), "ends with event 10") || len(w.asks) != 1) {
			t.Errorf("%s: %v after %d questions", name, err, len(w.asks))
		}
		for i, q := range w.asks {
			if i > 0 && q.MinSeq < 10 {
				t.Errorf("%s: question %d may be answered by a node that is behind: %+v", name, i, q)
			}
		}
	}
}
