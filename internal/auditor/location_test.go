package auditor

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/export"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// open is the source at a location.
func open(t *testing.T, at string) Source {
	t.Helper()
	s, err := OpenLocation(t.Context(), at)
	must(t, err)
	return s
}

// exported is an export of the whole ledger.
func exported(t *testing.T, s *scene) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "export")
	_, err := export.Write(t.Context(), s.Client, export.Options{Dir: dir, Timeout: 10 * time.Second, At: time.Now(),
		Tool: "test"})
	must(t, err)
	return dir
}

// ofExport audits an export, and one in which a line was changed.
func ofExport(t *testing.T, s *scene) {
	dir := exported(t, s)
	m, err := export.ReadManifest(dir)
	must(t, err)
	r, err := Run(t.Context(), s.options(open(t, dir), "", s.signed(20)))
	if err != nil || r.Events != m.Range.ToSeq || r.State != m.End.State {
		t.Fatalf("%+v, %v", r, err)
	}
	early := *m
	early.End.Seq = 2
	if r, err := Run(t.Context(), s.options(fromExport{dir: dir, m: &early}, "")); !errors.Is(err, ErrDiffers) {
		t.Errorf("digests of another event: %+v, %v", r, err)
	}
	file := filepath.Join(dir, export.EventsFile)
	text, err := os.ReadFile(file)
	must(t, err)
	text[len(text)/2] ^= 1
	must(t, os.WriteFile(file, text, 0o600))
	if r, err := Run(t.Context(), s.options(open(t, dir), "")); !errors.Is(err, ErrDiffers) {
		t.Errorf("%+v, %v", r, err)
	}
}

// ofStopped audits a backup and the directory of the stopped node, whole and damaged.
func ofStopped(t *testing.T, s *scene) {
	place := t.TempDir()
	target, err := backup.CreateDir(place)
	must(t, err)
	m, err := backup.Create(t.Context(), backup.Options{Target: target, Source: client.CopiesOf(s.Client, 0),
		Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Tool: "test", At: time.Now()})
	must(t, err)
	early := s.signed(20)
	s.Stop(0)
	r, err := Run(t.Context(), s.options(open(t, place), "", early))
	if err != nil || r.Events != m.Position.Seq || r.State != m.Digest.State {
		t.Fatalf("%+v, %v", r, err)
	}
	dir := t.TempDir()
	r, err = Run(t.Context(), s.options(open(t, s.Dir(0)), dir, early))
	if err != nil || r.Events < m.Position.Seq {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := Run(t.Context(), s.options(open(t, s.Dir(0)), dir)); err != nil || again.State != r.State {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := OpenLocation(t.Context(), t.TempDir()); !errors.Is(err, ErrSource) {
		t.Error(err)
	}
	damage(t, filepath.Join(s.Dir(0), "events"), "nodetest")
	if r, err := Run(t.Context(), s.options(open(t, s.Dir(0)), "", early)); !errors.Is(err, ErrDiffers) {
		t.Errorf("a flipped bit: %+v, %v", r, err)
	}
}

// damage flips a bit of a text in the files of a log.
func damage(t *testing.T, dir, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(path)
		must(t, err)
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			b[at] ^= 1
			must(t, os.WriteFile(path, b, 0o600))
			return
		}
	}
	t.Fatalf("no file has %q", text)
}
