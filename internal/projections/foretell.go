package projections

import (
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
)

// Foretell returns the outcome that a generation would give a submission if it were the next event. s has the
// rows of the generation so far, and the control state must be folded up to it.Seq-1. Foretell runs the same
// code as Fold and discards what it writes. Errors are those of Fold.
func Foretell(s Store, number uint32, it *Item, view ControlView) (Result, error) {
	if it.Kind != event.Submission {
		return Result{}, fmt.Errorf("%w: %s is no submission", ErrBadEvent, it.Kind)
	}
	r, _, _, err := NewGeneration(number).foldSubmission(&scratch{Store: s, rows: map[string][]byte{}}, it, view)
	return r, err
}

// scratch is a transaction that is never committed.
type scratch struct {
	Store
	rows map[string][]byte // written in this step; nil for a deleted one
}

func (t *scratch) Get(key []byte) ([]byte, error) {
	if v, ok := t.rows[string(key)]; ok {
		return v, nil
	}
	return t.Store.Get(key)
}

func (t *scratch) Set(k, v []byte) { t.rows[string(k)] = append([]byte{}, v...) }
func (t *scratch) Delete(k []byte) { t.rows[string(k)] = nil }
