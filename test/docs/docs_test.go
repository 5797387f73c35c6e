// Package docs holds the pages against the code: tests that a page names exist, files that it links are there, and alerts
// speak of metrics that the code has.
package docs

import (
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
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(page(t, "docs/security-overview-coverage.md"), -1)
	if len(named) < 20 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, m := range named {
		if !strings.Contains(code, "\nfunc "+m[1]+"(") {
			t.Errorf("there is no %s", m[1])
		}
	}
}

func TestAlertsSpeakOfRealMetrics(t *testing.T) {
	code := read(t, ".go")
	names := regexp.MustCompile(`\b(?:flk|recount)_[a-z_]+`).FindAllString(page(t, "deploy/prometheus/alerts.yaml"), -1)
	if len(names) < 10 {
		t.Fatalf("only %d metrics are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(code, `"`+name+`"`) {
			t.Errorf("no metric is called %s", name)
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
