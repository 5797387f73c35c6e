package main

import (
	"os"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/test/pty"
)

// TestHelpOnATerminal: help is wrapped for the width that the terminal reports.
func TestHelpOnATerminal(t *testing.T) {
	t.Setenv("COLUMNS", "")
	for _, line := range []string{"--help", "dev --help", "help serve"} {
		pty.CheckHelp(t, line, func(screen *os.File) error {
			_, err := execute(t.Context(), strings.Fields(line), screen)
			return err
		})
	}
}
