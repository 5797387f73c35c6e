package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const committed = "../../deploy/grafana"

var pages = regexp.MustCompile(`docs/[a-z/-]+\.md`)

// TestCommitted: the files of deploy/grafana are what the tables make, and there are no others.
func TestCommitted(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(committed, "*.json"))
	if err != nil || len(names) != len(boards) {
		t.Errorf("%d files for %d dashboards: %v", len(names), len(boards), err)
	}
	for _, b := range boards {
		want, err := render(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(committed, b.file+".json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not what the tables make: type make dashboards (%v)", b.file, err)
		}
	}
}

// TestPanelsHelp: every panel has a title of its own, a unit, a question, and a text that says what to type and
// names pages that are there.
func TestPanelsHelp(t *testing.T) {
	for _, b := range boards {
		titles := map[string]bool{}
		for _, r := range b.rows {
			width := uint32(0)
			for _, p := range r.panels {
				if width += p.width; width > 24 {
					width = p.width
				}
				if p.title == "" || titles[p.title] || p.unit == "" || len(p.ask) == 0 || p.width == 0 {
					t.Errorf("%s: %q lacks something, or is there twice", b.file, p.title)
				}
				titles[p.title] = true
				if !strings.Contains(strings.ToLower(p.help), "type: ") || len(p.help) < 60 {
					t.Errorf("%s: %q does not say what to type: %q", b.file, p.title, p.help)
				}
				for _, page := range pages.FindAllString(p.help, -1) {
					if _, err := os.Stat("../../" + page); err != nil {
						t.Errorf("%s: %q: %v", b.file, p.title, err)
					}
				}
			}
			if width != 24 {
				t.Errorf("%s: the last line of %q has %d of 24 columns", b.file, r.title, width)
			}
		}
	}
}

// TestQuestionsKeepToTheCluster: every metric of a node is asked for the chosen cluster, and for the chosen nodes where there is
// a choice. Canaries and backups run beside the nodes, under a job of their own.
func TestQuestionsKeepToTheCluster(t *testing.T) {
	metric := regexp.MustCompile(`\b(?:flk_(?:[a-z]+_?)+|up|process_[a-z_]+|go_[a-z_]+)\{([^}]*)\}|\bflk_[a-z_]+\b|\bup\b`)
	for _, b := range boards {
		for _, r := range b.rows {
			for _, p := range r.panels {
				for _, q := range p.ask {
					for _, m := range metric.FindAllStringSubmatch(full(q.expr), -1) {
						own := strings.HasPrefix(m[0], "flk_backup_")
						if !own && !strings.Contains(m[1], `job="$job"`) || b.nodes == oneNode && !strings.Contains(m[1], "$instance") {
							t.Errorf("%s: %q asks %s of every cluster", b.file, p.title, m[0])
						}
					}
					if q.legend == "" {
						t.Errorf("%s: %q has no legend", b.file, p.title)
					}
				}
			}
		}
	}
}
