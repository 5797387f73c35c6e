package main

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/test/pty"
)

// TestHelpOnATerminal: help is wrapped for the width that the terminal reports.
func TestHelpOnATerminal(t *testing.T) {
	t.Setenv("COLUMNS", "")
	for _, args := range [][]string{{"--help"}, {"dev", "--help"}, {"help", "serve"}} {
		screen, shown := pty.Open(t, 90)
		if _, err := execute(t.Context(), args, screen); err != nil {
			t.Error(err)
		}
		text := shown()
		longest := 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "  ") { // commands stay as they are
				longest = max(longest, term.Width(strings.TrimSuffix(line, "\n")))
			}
		}
		if longest <= 80 || longest > 90 { // 80 is taken where no terminal says its width
			t.Errorf("%v: %d columns on a terminal of 90\n%s", args, longest, text)
		}
		if !strings.Contains(text, "Usage:") {
			t.Errorf("%v: %s", args, text)
		}
	}
}
