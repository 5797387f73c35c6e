// Package docs holds pages and comments against the code and the rules of the house: tests that a page names exist,
// files that it links are there, alerts speak of metrics that the code has, and comments keep to plain English.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// read joins all files of the repository with one of the suffixes.
func read(t *testing.T, suffixes ...string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		for _, s := range suffixes {
			if strings.HasSuffix(path, s) {
				b, err := os.ReadFile(path)
				all.Write(b)
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func page(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTestsThatPagesName(t *testing.T) {
	code := read(t, "_test.go")
	for _, path := range []string{"docs/security-overview-coverage.md", "docs/reliability.md"} {
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(page(t, path), -1)
		if len(named) < 20 {
			t.Fatalf("%s: only %d tests are named", path, len(named))
		}
		for _, m := range named {
			if m[1] != "TestName" && !strings.Contains(code, "\nfunc "+m[1]+"(") {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
	}
}

// TestReliabilityIsWhole: the page has a row for every invariant and fault, and speaks of kinds of faults that the bed has; the bed has
// none that it leaves out.
func TestReliabilityIsWhole(t *testing.T) {
	text := page(t, "docs/reliability.md")
	for kind, last := range map[string]int{"I": 20, "F": 25} {
		for i := range last {
			row := fmt.Sprintf("\n| %s%d | ", kind, i+1)
			if strings.Count(text, row) != 1 {
				t.Errorf("%d rows of %s%d", strings.Count(text, row), kind, i+1)
			}
		}
	}
	kinds := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{name: "([a-z ]+)"`).FindAllStringSubmatch(read(t, filepath.Join("chaos", "nemesis.go"),
		filepath.Join("chaos", "clocks.go"), filepath.Join("chaos", "disk.go"), filepath.Join("chaos", "versions.go")), -1) {
		kinds[m[1]] = true
		if !strings.Contains(text, `"`+m[1]+`"`) {
			t.Errorf("the page leaves out %q", m[1])
		}
	}
	if len(kinds) < 25 {
		t.Fatalf("only %d kinds", len(kinds))
	}
	for _, m := range regexp.MustCompile(`"([a-z][a-z ]+)"`).FindAllStringSubmatch(text, -1) {
		if !kinds[m[1]] && m[1] != "bed" && m[1] != "not committed" {
			t.Errorf("the bed has no %q", m[1])
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/docs/runbooks/*.md", "/docs/decisions/*.md", "/*.md"} {
		more, err := filepath.Glob(root + dir)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	link := regexp.MustCompile(`\]\(([^)#\s]+)`)
	for _, p := range pages {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), m[1])); err != nil {
				t.Errorf("%s links %s, which is not there", p, m[1])
			}
		}
	}
}
