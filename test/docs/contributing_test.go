package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// missingNames lists the files, packages, tests and targets of make that a page names and that are not there.
func missingNames(t *testing.T, text string) (missing []string) {
	t.Helper()
	makefile, code := page(t, "Makefile"), read(t, "_test.go")
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		name := m[1]
		target, isMake := strings.CutPrefix(name, "make ")
		switch _, err := os.Stat(filepath.Join(root, name)); {
		case isMake && !strings.Contains(makefile, "\n"+target+":"),
			strings.HasPrefix(name, "Test") && !strings.Contains(code, "\nfunc "+name+"("),
			strings.Contains(name, "/") && !strings.Contains(name, " ") && name != "bin/" && err != nil:
			missing = append(missing, name)
		}
	}
	return missing
}

// TestContributingNamesWhatIsThere: a new kind, route, metric or setting goes through files that exist.
func TestContributingNamesWhatIsThere(t *testing.T) {
	text := page(t, "CONTRIBUTING.md")
	if missing := missingNames(t, text); len(missing) > 0 {
		t.Errorf("CONTRIBUTING.md names what is not there: %q", missing)
	}
	wrong := "`internal/none.go` `TestOfNothing` `make nothing` `make lint` `internal/pcs` `go test ./x`"
	if missing := missingNames(t, wrong); len(missing) != 3 {
		t.Errorf("of %s only %q is missing", wrong, missing)
	}
}
