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

// mostExposed is the highest rating of systemd-analyze security that a unit may have, of 10.
const mostExposed = 1.5

// installed copies the unit and the drop-in of the package into a directory, as they lie on a machine, with a program that
// exists, because systemd-analyze looks for it.
func installed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	beside := filepath.Join(dir, "recount-node.service.d")
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile(`(?m)^ExecStart=\S+`)
	for name, to := range map[string]string{"recount-node.service": dir, "credentials.conf": beside} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "systemd", name))
		if err == nil {
			text = program.ReplaceAll(text, []byte("ExecStart=/bin/true"))
			err = os.WriteFile(filepath.Join(to, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestUnitIsHardened: systemd takes the unit of a node and the credentials without a warning, and rates its exposure low.
func TestUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not on this machine (Debian: apt install systemd)")
	}
	t.Setenv("SYSTEMD_UNIT_PATH", installed(t)+":") // and then the units of the machine
	verify := exec.Command("systemd-analyze", "verify", "--man=no", "recount-node.service")
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "recount-node.service").CombinedOutput()
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
