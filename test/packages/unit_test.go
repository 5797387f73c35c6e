package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// mostExposed is the highest rating of systemd-analyze security that a unit may have, of 10.
const mostExposed = 1.5

// unitWith copies a unit into a directory of the test, with a program that exists, because systemd-analyze looks for it.
func unitWith(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(path))
	line := regexp.MustCompile(`(?m)^ExecStart=\S+`)
	if err := os.WriteFile(copied, line.ReplaceAll(text, []byte("ExecStart=/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	return copied
}

// TestUnitsAreHardened: systemd takes the unit of a node without a warning, and rates its exposure low.
func TestUnitsAreHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not on this machine (Debian: apt install systemd)")
	}
	unit := unitWith(t, filepath.Join(root, "deploy", "systemd", "recount-node.service"))
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(string(out))
	if err != nil || found == nil {
		t.Fatalf("security: %v\n%s", err, out)
	}
	if rating, err := strconv.ParseFloat(found[1], 64); err != nil || rating > mostExposed {
		t.Errorf("exposure %s, at most %v:\n%s", found[1], mostExposed, strings.Join(weak(string(out)), "\n"))
	}
}

// weak are the lines of a rating that cost something.
func weak(out string) (lines []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "✗") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
