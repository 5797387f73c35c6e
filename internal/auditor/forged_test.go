package auditor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
)

// TestForgedFold: a fold of other events in the directory is not taken for that of the events there.
func TestForgedFold(t *testing.T) {
	s := clusterOf(t)
	s.submit(12)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	dir, other := t.TempDir(), t.TempDir()
	first, err := Run(t.Context(), s.options(honest, dir))
	must(t, err)
	forged := honest.with(func(l *shown) {
		message(t, &l.events[9], func(m proto.Message) { m.(*event.SubmissionV1).Body = []byte("x") })
	})
	lie, err := Run(t.Context(), s.options(forged, other))
	if err != nil || lie.State == first.State {
		t.Fatalf("%+v, %v", lie, err)
	}
	swap := func(name string) {
		must(t, os.RemoveAll(filepath.Join(dir, name)))
		must(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(other, name))))
	}
	swap("generation-1")
	lying := honest.with(func(l *shown) {
		says := claimOf("the digest of the cluster", n, "", lie.State, "", 1)
		says.log, says.control = nil, nil
		l.says = []claim{says}
	})
	r, err := Run(t.Context(), s.options(lying, dir, s.signed(n)))
	if !errors.Is(err, ErrDiffers) || r.State != first.State {
		t.Errorf("a source that gives the digest of the forged fold: %+v, %v", r, err)
	}
	swap("generation-1")
	must(t, os.RemoveAll(filepath.Join(dir, eventsDir)))
	must(t, os.RemoveAll(filepath.Join(dir, derivedDir)))
	if r, err = Run(t.Context(), s.options(honest, dir)); err != nil || r.State != first.State {
		t.Errorf("without the events of before: %+v, %v", r, err)
	}
	swap(derivedDir)
	if r, err = Run(t.Context(), s.options(honest, dir)); !errors.Is(err, ErrChanged) {
		t.Errorf("another derived/: %+v, %v", r, err)
	}
}
