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
