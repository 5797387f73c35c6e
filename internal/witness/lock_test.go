package witness

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/evidence"
)

// TestLockRemoved: somebody tidies up the lock file of a witness that runs, and starts another one. The first one cosigns
// nothing more, because it does not know what the second one cosigned.
func TestLockRemoved(t *testing.T) {
	r := newRig(t)
	must(t, os.Remove(filepath.Join(r.o.Dir, "LOCK")))
	second, err := Open(r.o)
	must(t, err)
	t.Cleanup(func() { must(t, second.Close()) })
	add := func(w *Witness, leaves string) error {
		note, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: origin, Size: 5,
			Root: [32]byte(tree(5, 0, leaves).Hash())}, r.key)
		must(t, err)
		_, err = w.Add(Request{Note: note})
		return err
	}
	if err := add(second, "a"); err != nil {
		t.Error(err)
	}
	if err := add(r.w, "b"); !errors.Is(err, ErrLocked) {
		t.Errorf("the first one, with other events: %v", err)
	}
	if list, err := List(r.o.Dir); err != nil || len(list) != 1 || list[0].Size != 5 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestOtherTextOfOneCheckpoint: a cosignature is of the text that was sent, not of an earlier one with the same root.
func TestOtherTextOfOneCheckpoint(t *testing.T) {
	r := newRig(t)
	c := evidence.Checkpoint{Origin: origin, Size: 5, Root: [32]byte(tree(5, 99, "a").Hash())}
	for i, extra := range [][]string{nil, {"another line"}} {
		c.Extra = extra
		note, err := evidence.SignCheckpoint(c, r.key)
		must(t, err)
		lines, err := r.w.Add(Request{Old: uint64(5 * i), Note: note})
		must(t, err)
		list, err := evidence.Cosignatures(append(note, lines...), r.o.Secrets[0].Public())
		if err != nil || len(list) != 1 {
			t.Errorf("with the lines %q: %d cosignatures, %v", extra, len(list), err)
		}
	}
}
