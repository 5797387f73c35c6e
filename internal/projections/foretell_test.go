package projections

import (
	"errors"
	"maps"
	"reflect"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// foretold folds an event, and holds what was foretold of a submission against what the fold says. So every test that has a ledger
// tests Foretell, too.
func (l *ledger) foretold(it *Item) Result {
	l.t.Helper()
	var before Result
	var err error
	if it.Kind == event.Submission {
		var rows map[string][]byte
		if l.db.Len() < 1000 { // to compare more takes long
			rows = maps.Clone(l.db.rows)
		}
		held := l.db.Len()
		if before, err = Foretell(l.db, 1, it, l.ctrl.For(1)); err != nil {
			l.t.Fatal(err)
		}
		if l.db.Len() != held || rows != nil && !reflect.DeepEqual(rows, l.db.rows) {
			l.t.Fatalf("event %d: foretelling it has written rows", it.Seq)
		}
	}
	r, err := l.gen.Fold(l.db, it, l.ctrl.For(1))
	if err != nil {
		l.t.Fatal(err)
	}
	if it.Kind == event.Submission && !reflect.DeepEqual(before, r) {
		l.t.Fatalf("event %d: foretold\n%+v\nfolded\n%+v", it.Seq, before, r)
	}
	return r
}

// TestForetellSubmissionsOnly: there is nothing to foretell of an operator's event, nor before the first policy.
func TestForetellSubmissionsOnly(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	if _, err := Foretell(l.db, 1, &Item{Seq: 3, Kind: event.KeyAdded}, l.ctrl.For(1)); !errors.Is(err, ErrBadEvent) {
		t.Error(err)
	}
	sub := event.Sub{Body: []byte("{}"), Node: "n1"}
	it := &Item{Seq: 1, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: sub.Payload()}}
	if _, err := Foretell(NewMemStore(), 1, it, NewControl().For(1)); !errors.Is(err, ErrNoPolicy) {
		t.Error(err)
	}
}
