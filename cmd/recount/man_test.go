package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/cli"
)

// TestEveryCommandHasAPage: each command that help lists has a manual page with all its flags, without a warning of groff.
func TestEveryCommandHasAPage(t *testing.T) {
	root := (&app{env: noEnv}).root()
	pages := cli.Pages(root, "v1")
	commands := 0
	for _, c := range everyCommand(root) {
		listed := true
		for p := c; p.HasParent(); p = p.Parent() {
			listed = listed && p.IsAvailableCommand()
		}
		if !listed {
			continue
		}
		commands++
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
	if commands < 80 || commands != len(pages) {
		t.Errorf("%d commands, %d pages", commands, len(pages))
	}
}

// TestManCommand writes the pages where it is told to. groff takes each without a warning.
func TestManCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if r := run(t, "", "man", dir); r.code != exitOK || r.out+r.err != "" {
		t.Fatalf("%+v", r)
	}
	if r := run(t, "", "man"); r.code != exitUsage || !strings.Contains(r.err, "one directory") {
		t.Errorf("%+v", r)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "recount*.1"))
	if err != nil || len(pages) < 80 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("no groff here (Debian: groff)")
	}
	out, err := exec.Command("groff", append([]string{"-man", "-Tutf8", "-ww", "-z", "-Kutf8"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %.2000s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "recount-bench.1")); err != nil || !strings.Contains(string(text), "rate") {
		t.Error(err)
	}
}
