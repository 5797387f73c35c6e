package auditor

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
)

// TestDamagedDirectory: a directory whose files are lost, damaged or of another ledger is named as such, each time, and
// is no difference of the ledger.
func TestDamagedDirectory(t *testing.T) {
	s, other := clusterOf(t), clusterOf(t)
	s.submit(6)
	other.submit(12)
	place, theirs := t.TempDir(), t.TempDir()
	target, err := backup.CreateDir(place)
	must(t, err)
	_, err = backup.Create(t.Context(), backup.Options{Target: target, Source: client.CopiesOf(s.Client, 0),
		Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Tool: "test", At: time.Now()})
	must(t, err)
	_, err = Run(t.Context(), other.options(shown{events: other.events()}, theirs))
	must(t, err)
	list, copied := shown{events: s.events()}, open(t, place)
	lost := func(name string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	swapped := func(name string) func(string) error {
		return func(dir string) error {
			return errors.Join(lost(name)(dir), os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(theirs, name))))
		}
	}
	mark := func(text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, markFile), []byte(text), 0o600) }
	}
	for name, c := range map[string]struct {
		from   Source
		change func(dir string) error
		words  string
	}{
		"events lost":      {list, lost(eventsDir), "missing or of another ledger"},
		"events swapped":   {list, swapped(eventsDir), "of another ledger"},
		"derived swapped":  {list, swapped(derivedDir), "of another ledger"},
		"a copy swapped":   {copied, swapped(eventsDir), "of another ledger"},
		"a mark cut":       {list, mark(`{"form`), "audit.json is damaged"},
		"a mark of zeros":  {list, mark("\x00\x00"), "audit.json is damaged"},
		"a mark of nobody": {copied, mark("{}"), "audit.json is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Run(t.Context(), s.options(c.from, dir))
			must(t, err)
			must(t, c.change(dir))
			for range 2 {
				if r, err := Run(t.Context(), s.options(c.from, dir)); !errors.Is(err, ErrChanged) ||
					!strings.Contains(err.Error(), c.words) {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
}

// TestUntied: events of a directory whose fold is lost accuse a ledger only if a kept checkpoint covers them.
func TestUntied(t *testing.T) {
	s := clusterOf(t)
	s.submit(8)
	honest := shown{events: s.events()}
	n := uint64(len(honest.events))
	forged := honest.with(func(l *shown) { forge(t, &l.events[n-1], l.events[n-1].Payload) })
	for name, c := range map[string]struct {
		notes []Note
		want  error
	}{"with a checkpoint": {[]Note{s.signed(n)}, ErrDiffers}, "without one": {nil, ErrChanged}} {
		dir := t.TempDir()
		_, err := Run(t.Context(), s.options(honest, dir, c.notes...))
		must(t, err)
		must(t, os.RemoveAll(filepath.Join(dir, derivedDir)))
		for range 2 {
			if r, err := Run(t.Context(), s.options(forged, dir, c.notes...)); !errors.Is(err, c.want) ||
				!strings.Contains(err.Error(), "the earlier run in") {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		}
		if _, err := Run(t.Context(), s.options(honest, dir, c.notes...)); err != nil {
			t.Errorf("%s, the same ledger: %v", name, err)
		}
	}
}
