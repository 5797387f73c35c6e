package auditor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
)

// large is an honest list of so many events that a directory keeps them in tables.
func large(t *testing.T, s *scene) shown {
	t.Helper()
	honest := shown{events: s.events()}
	one := find(t, honest.events, event.Submission)
	for i := range 3000 {
		p := slices.Clone(one.Payload)
		p[0], p[1], p[2], p[3] = byte(i), byte(i>>8), byte(i*7), byte(i*13)
		honest.add(t, event.Submission, 1, p)
	}
	return honest
}

// flip changes a byte in the middle of the largest table of a log.
func flip(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	must(t, err)
	var largest []byte
	var path string
	for _, at := range tables {
		b, err := os.ReadFile(at)
		must(t, err)
		if len(b) > len(largest) {
			largest, path = b, at
		}
	}
	if len(largest) < 40000 {
		t.Fatalf("no table with events in %q", tables)
	}
	largest[len(largest)/2] ^= 1
	must(t, os.WriteFile(path, largest, 0o600))
}

// TestOwnDiskAccusesNobody: a byte that changed on the disk of the auditor is no word about the ledger, whether or not
// an earlier run folded the events, and also when it changes in the run that made the directory.
func TestOwnDiskAccusesNobody(t *testing.T) {
	s := clusterOf(t)
	s.submit(4)
	honest := large(t, s)
	for name, lost := range map[string]bool{"folded": false, "an earlier run was killed": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for range 2 { // the second one writes the tables
				_, err := Run(t.Context(), s.options(honest, dir))
				must(t, err)
			}
			if lost {
				must(t, os.RemoveAll(filepath.Join(dir, derivedDir)))
			}
			flip(t, filepath.Join(dir, eventsDir))
			r, err := Run(t.Context(), s.options(honest, dir))
			if !errors.Is(err, ErrChanged) || r == nil || len(r.Differences) > 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// TestReadErrorsOfTheRunThatTookTheEvents: what the log in the directory reports while it takes events from a source
// accuses nobody. The same report about a new copy of a log is about the bytes of that log.
func TestReadErrorsOfTheRunThatTookTheEvents(t *testing.T) {
	for fresh, want := range map[bool]error{false: ErrChanged, true: errLedger} {
		w, err := newWork(t.TempDir(), shown{}, quiet)
		must(t, err)
		w.fresh = fresh
		w.fail(fmt.Errorf("a table: %w", log.ErrCorrupt))
		if err := w.failure(); !errors.Is(err, want) {
			t.Errorf("a new copy %v: %v", fresh, err)
		}
	}
}

// TestDamagedSourceAgain: a stopped node whose log is damaged since the earlier run is to blame, not the directory of
// the auditor.
func TestDamagedSourceAgain(t *testing.T) {
	s := clusterOf(t)
	s.submit(6)
	s.Stop(0)
	dir := t.TempDir()
	_, err := Run(t.Context(), s.options(open(t, s.Dir(0)), dir))
	must(t, err)
	damage(t, filepath.Join(s.Dir(0), "events"), "nodetest")
	r, err := Run(t.Context(), s.options(open(t, s.Dir(0)), dir))
	if !errors.Is(err, ErrDiffers) || errors.Is(err, ErrChanged) {
		t.Errorf("%+v, %v", r, err)
	}
}
