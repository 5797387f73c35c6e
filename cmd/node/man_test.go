package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/cli"
)

// TestEveryCommandHasAPage: each command that help lists has a manual page with all its flags.
func TestEveryCommandHasAPage(t *testing.T) {
	all := []*cobra.Command{root()}
	pages := cli.Pages(all[0], "v1")
	for i := 0; i < len(all); i++ {
		c := all[i]
		for _, below := range c.Commands() {
			if below.IsAvailableCommand() {
				all = append(all, below)
			}
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		page := strings.ReplaceAll(pages[name], `\-`, "-")
		if !strings.Contains(page, c.Short) {
			t.Errorf("no page %s", name)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Deprecated == "" && !strings.Contains(page, "--"+f.Name+`\fR`) {
				t.Errorf("%s lacks --%s", name, f.Name)
			}
		})
	}
	if len(all) < 25 || len(all) != len(pages) {
		t.Errorf("%d commands, %d pages", len(all), len(pages))
	}
	dir := t.TempDir()
	if _, err := execute(t.Context(), []string{"man", dir}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	if written, err := filepath.Glob(filepath.Join(dir, "recount-node*.1")); err != nil || len(written) != len(pages) {
		t.Errorf("%d written, %v", len(written), err)
	}
}
