package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/test/pty"
)

// TestHelpOnATerminal: help is wrapped for the width that the terminal reports.
func TestHelpOnATerminal(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"policy", "--help"}, {"help", "audit"}} {
		screen, shown := pty.Open(t, 90)
		var errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: screen, err: &errs, env: noEnv}
		if code := a.run(t.Context(), args); code != exitOK {
			t.Errorf("%v: %d %s", args, code, errs.String())
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
