package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// TestBackupPage plays docs/backup.md word for word, but for directories and ports, from a copy of the repository: three nodes,
// two backups, a verification, a cluster that is founded with the second one, and an earlier moment.
func TestBackupPage(t *testing.T) {
	blocks := shellBlocks(t, "docs/backup.md", 9)
	dir, home := readmeCopy(t), filepath.Join(t.TempDir(), "recount")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	startReadme(ctx, t, dir, strings.ReplaceAll(blocks[0][0], "/tmp/recount", home))
	port, err := harness.FreePort(1)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.NewReplacer("/tmp/recount", home, "127.0.0.1:9540", "127.0.0.1:"+strconv.Itoa(port),
		"127.0.0.1:9541", "127.0.0.1:"+strconv.Itoa(port+1))
	var lines []string
	for _, b := range blocks[1:] {
		for _, line := range b {
			lines = append(lines, elsewhere.Replace(line))
		}
	}
	checkBackup(t, playLines(ctx, t, dir, lines))
}

// checkBackup holds what the lines printed against what the page says of them.
func checkBackup(t *testing.T, all []said) {
	t.Helper()
	want := map[string]string{
		"backup create":        `(?m)^log digest +[0-9a-f]{64}$`,
		"backup list":          `(?m)^2[0-9]{7}T[0-9]{9}Z-[a-z2-7]{8} `,
		"backup check":         `All [0-9]+ files of backup .* are as its manifest says`,
		"backup verify":        `(?m)^result +good$`,
		"cluster-id second":    `(?m)^events cut +0$`,
		"recount operations":   `restored from cluster dev-[0-9a-f]+, events up to [0-9]+, backup 2.*applied +site a burned down +INC-9`,
		"recount digest":       `1 endpoints agree at seq [0-9]+`,
		"cluster-id earlier":   `(?m)^events cut +[1-9][0-9]*$`,
		"readyz":               `ok`,
		"config init":          `second-1`,
		"submit testdata/good": ` replayed|accepted`,
	}
	seen := map[string]bool{}
	var verified, restored string
	digest := regexp.MustCompile(`(?m)^(log|state|control) digest +([0-9a-f]{64})$`)
	for _, s := range all {
		if s.code != 0 && !strings.Contains(s.line, "recount submit ") { // some records are refused
			t.Errorf("%s: exit code %d:\n%s", s.line, s.code, s.out)
		}
		for part, out := range want {
			if strings.Contains(s.line, part) {
				seen[part] = true
				if !regexp.MustCompile(out).MatchString(s.out) {
					t.Errorf("%s: nothing matches %s:\n%s", s.line, out, s.out)
				}
			}
		}
		digests := ""
		for _, m := range digest.FindAllStringSubmatch(s.out, -1) {
			digests += m[1] + " " + m[2] + "\n"
		}
		switch {
		case strings.Contains(s.line, "backup verify"):
			verified = digests
		case strings.Contains(s.line, "cluster-id second"):
			restored = digests
		}
	}
	if strings.Count(verified, "\n") != 3 || verified != restored {
		t.Errorf("verified\n%s, restored\n%s", verified, restored)
	}
	for part := range want {
		if !seen[part] {
			t.Errorf("docs/backup.md has no line with %q", part)
		}
	}
}
