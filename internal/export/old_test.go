package export_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/internal/export"
)

var update = flag.Bool("update", false, "write testdata/format-N anew; only before a format is released")

// TestFormatOne: an export that an auditor has kept can be checked for ever.
func TestFormatOne(t *testing.T) {
	dir := filepath.Join("testdata", "format-1")
	if *update {
		s := newScene(t)
		s.play()
		made, _ := s.write(export.Options{})
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(made)))
	}
	holds(t, dir, export.CheckOptions{Recount: true}, export.CheckHMAC, export.CheckPage)
}

// TestVerifyLink: a link to an export is that export.
func TestVerifyLink(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("testdata", "format-1"))
	must(t, err)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	holds(t, link, export.CheckOptions{Recount: true}, export.CheckHMAC, export.CheckPage)
}

// TestVerifyLinkedManifest: a manifest or sums that are links are a fault of the export, not of the reading.
func TestVerifyLinkedManifest(t *testing.T) {
	for _, name := range []string{export.ManifestFile, export.SumsFile} {
		to := copied(t, filepath.Join("testdata", "format-1"))
		must(t, os.Rename(filepath.Join(to, name), filepath.Join(t.TempDir(), name)))
		must(t, os.Symlink("/dev/zero", filepath.Join(to, name)))
		if r, lines := check(t, to, export.CheckOptions{}); r.OK || lines[export.CheckManifest].Result != export.ResultFailed {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
