package pty

import (
	"os"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/term"
)

// CheckHelp runs a command that prints help on a terminal of 90 columns. The help must fill more than the 80 columns that
// are taken where no terminal reports its width, and must fit.
func CheckHelp(t *testing.T, name string, run func(screen *os.File) error) {
	t.Helper()
	const columns = 90
	screen, shown := Open(t, columns)
	if err := run(screen); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	text := shown()
	longest := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "  ") { // commands stay as they are
			longest = max(longest, term.Width(strings.TrimSuffix(line, "\n")))
		}
	}
	if longest <= 80 || longest > columns {
		t.Errorf("%s: %d columns on a terminal of %d\n%s", name, longest, columns, text)
	}
	if !strings.Contains(text, "Usage:") {
		t.Errorf("%s: %s", name, text)
	}
}
