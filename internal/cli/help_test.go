package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpFits: paragraphs and flags are wrapped, commands in them are not.
func TestHelpFits(t *testing.T) {
	for _, width := range []int{0, 70, 100} {
		var out bytes.Buffer
		root := &cobra.Command{Use: "root", Long: strings.Repeat("some words of a long help ", 9) + "\nand more of them.\n\n  root below --flag\n\nA second paragraph."}
		below := &cobra.Command{Use: "below", Short: "x", Long: strings.Repeat("a word ", 40), Run: func(*cobra.Command, []string) {}}
		below.Flags().String("flag", "", strings.Repeat("what the flag does ", 8))
		root.AddCommand(below)
		root.CompletionOptions.DisableDefaultCmd = true
		FitHelp(root, func() int { return width })
		root.SetOut(&out)
		for _, args := range [][]string{{"--help"}, {"below", "--help"}} {
			root.SetArgs(args)
			if err := root.Execute(); err != nil {
				t.Fatal(err)
			}
		}
		long := 0
		for line := range strings.Lines(out.String()) {
			if len(line) > width+1 {
				long++
			}
		}
		if (long == 0) != (width > 0) || !strings.Contains(out.String(), "\n\n  root below --flag\n\n") || !strings.Contains(out.String(), "A second paragraph.\n") {
			t.Errorf("%d columns: %d lines are longer\n%s", width, long, out.String())
		}
	}
}
