package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow has the parts of a workflow that say what it may do.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Environment string
		Permissions map[string]string
		Steps       []struct {
			Uses string
			Run  string
			With map[string]any
		}
	}
}

// faults lists what a workflow may not have: an action that another commit could replace, a right to write besides
// those of the job that publishes, a checkout that leaves its token for later steps, another release of Go, a secret in
// a job without the environment that guards it, or text of a stranger in a command line.
func faults(t *testing.T, name, text string) (found []string) {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(name, err)
	}
	pinned := regexp.MustCompile(`^ +(?:- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); strings.Contains(line, "uses:") && !pinned.MatchString(line) {
			found = append(found, "not pinned: "+strings.TrimSpace(line))
		}
	}
	if w.Permissions == nil || strings.Contains(text, "pull_request_target") {
		found = append(found, "rights of everything")
	}
	for scope, right := range w.Permissions {
		if right == "write" {
			found = append(found, "all jobs write "+scope)
		}
	}
	for job, j := range w.Jobs {
		for scope, right := range j.Permissions {
			if right == "write" && j.Environment == "" {
				found = append(found, job+" writes "+scope)
			}
		}
		for _, s := range j.Steps {
			action, _, _ := strings.Cut(s.Uses, "@")
			switch {
			case action == "actions/checkout" && s.With["persist-credentials"] != false:
				found = append(found, job+" keeps the token")
			case action == "actions/setup-go" && !strings.HasSuffix(with(s.With, "go-version-file"), ".go-version"):
				found = append(found, job+" has another Go")
			case strings.Contains(s.Run, "${{"):
				found = append(found, job+" runs text of others: "+s.Run)
			}
		}
	}
	guarded := name == "release.yml" && w.Jobs["publish"].Environment != ""
	if n := strings.Count(text, "secrets."); n > 1 || n == 1 && !guarded {
		found = append(found, "secrets without their environment")
	}
	return found
}

func with(of map[string]any, key string) string {
	s, _ := of[key].(string)
	return s
}

// TestWorkflows: the workflows of GitHub pin what they run and may do little. A change to the worse is seen.
func TestWorkflows(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(paths) != 3 {
		t.Fatal(paths, err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = string(text)
		for _, fault := range faults(t, filepath.Base(path), string(text)) {
			t.Errorf("%s: %s", path, fault)
		}
	}
	for _, worse := range [][3]string{
		{"ci.yml", "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7"},
		{"ci.yml", "  contents: read", "  contents: write"},
		{"ci.yml", "  pull_request:", "  pull_request_target:"},
		{"ci.yml", "persist-credentials: false", "persist-credentials: true"},
		{"ci.yml", "go-version-file: .go-version", "go-version: stable"},
		{"ci.yml", `"PATH=$PATH"`, `"X=${{ github.head_ref }}"`},
		{"nightly.yml", "RUN: ${{ matrix.run }}", "RUN: ${{ secrets.RELEASE_KEY }}"},
		{"release.yml", "    environment: release", "    environment: ''"},
	} {
		changed := strings.Replace(texts[worse[0]], worse[1], worse[2], 1)
		if changed == texts[worse[0]] {
			t.Errorf("%s has no %q", worse[0], worse[1])
		}
		if len(faults(t, worse[0], changed)) == 0 {
			t.Errorf("%s with %q is taken", worse[0], worse[2])
		}
	}
}

// TestWorkflowsRunWhatIsThere: the targets of make and the scripts that workflows name exist.
func TestWorkflowsRunWhatIsThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	seen := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)\bmake ([a-z-]+)$`).FindAllStringSubmatch(string(text), -1) {
			seen++
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: no target %s", path, m[1])
			}
		}
		program := regexp.MustCompile(`(?:^|\s)((?:scripts|\.ci)/[\w./-]+)`)
		for _, m := range program.FindAllStringSubmatch(string(text), -1) {
			seen++
			if info, err := os.Stat(filepath.Join(root, m[1])); err != nil || info.Mode()&0o111 == 0 {
				t.Errorf("%s: %s is no program: %v", path, m[1], err)
			}
		}
	}
	if seen < 14 {
		t.Errorf("only %d", seen)
	}
}
