package auditor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// stopsAtLoad is a source whose run ends when the events of the directory are folded, and before it shows any.
type stopsAtLoad struct{ shown }

func (s stopsAtLoad) load(ctx context.Context, w *work, _ *Report) error {
	if _, err := w.appender(ctx, uint64(len(s.events))); err != nil {
		return err
	}
	return context.Canceled
}

// TestEndedBeforeTheComparison: a run that folds changed events of the directory and ends before it compares them makes
// them no word of the ledger. Whatever a kept checkpoint shows stays shown.
func TestEndedBeforeTheComparison(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	forged := honest.with(func(l *shown) { forge(t, &l.events[n-2], l.events[n-2].Payload) })
	theirs := t.TempDir()
	_, err := Run(t.Context(), s.options(forged, theirs))
	must(t, err)
	for name, notes := range map[string][]Note{"without a checkpoint": nil, "with one": {s.signed(n)}} {
		dir := t.TempDir()
		_, err := Run(t.Context(), s.options(honest, dir, notes...))
		must(t, err)
		must(t, os.RemoveAll(filepath.Join(dir, derivedDir)))
		put(t, filepath.Join(dir, eventsDir), filepath.Join(theirs, eventsDir))
		for range 2 {
			if _, err := Run(t.Context(), s.options(stopsAtLoad{honest}, dir, notes...)); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if r, err := Run(t.Context(), s.options(honest, dir, notes...)); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestEndedAndGoesOn: a run that ended before the comparison takes nothing from what earlier runs showed, and a whole
// run ties all events again. A damaged number ties none.
func TestEndedAndGoesOn(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	forged := honest.with(func(l *shown) { forge(t, &l.events[n-2], l.events[n-2].Payload) })
	dir := t.TempDir()
	_, err := Run(t.Context(), s.options(honest, dir))
	must(t, err)
	early := func() {
		if _, err := Run(t.Context(), s.options(stopsAtLoad{honest}, dir)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	early()
	r, err := Run(t.Context(), s.options(forged, dir))
	differsAt(t, r, err, n-1, n-1, "another event")
	must(t, os.WriteFile(filepath.Join(dir, tiedFile), []byte("x"), 0o600))
	if r, err := Run(t.Context(), s.options(forged, dir)); !errors.Is(err, ErrChanged) {
		t.Errorf("a damaged number: %+v, %v", r, err)
	}
	_, err = Run(t.Context(), s.options(honest, dir))
	must(t, err)
	r, err = Run(t.Context(), s.options(forged, dir))
	differsAt(t, r, err, n-1, n-1, "another event")
}
