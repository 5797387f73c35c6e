package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAuditing plays docs/auditing.md word for word, but for directory and port, from a copy of the repository.
func TestAuditing(t *testing.T) {
	blocks := shellBlocks(t, "docs/auditing.md", 13)
	dir, home := readmeCopy(t), filepath.Join(t.TempDir(), "recount")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	port := startReadme(ctx, t, dir, strings.ReplaceAll(blocks[0][0], "/tmp/recount", home))
	elsewhere := []string{"/tmp/recount", home}
	for i := range 3 {
		elsewhere = append(elsewhere, "127.0.0.1:"+strconv.Itoa(9440+10*i), "127.0.0.1:"+strconv.Itoa(port+10*i))
	}
	var lines []string
	for _, b := range blocks[1:] {
		for _, line := range b {
			lines = append(lines, strings.NewReplacer(elsewhere...).Replace(line))
		}
	}
	checkAuditing(t, playLines(ctx, t, dir, lines))
}

// checkAuditing holds what the lines printed against what the page says of them.
func checkAuditing(t *testing.T, all []said) {
	t.Helper()
	want := map[string]string{
		"whoami": `(?m)^role +auditor$`,
		"--since 1w --outcome accepted --count-by": `(?m)^hmac-90e62c5e86f10c2f +10ba8da6[0-9a-f]+ +[1-9]`,
		"--count-by was,outcome":                   `(?m)^(accepted +escalated|escalated +accepted) +[1-9]`,
		"audit --as-of \"generation 1\"":           `(?m)^hmac-90e62c5e86f10c2f +b66f93eb|^hmac-90e62c5e86f10c2f +95ca8b01`,
		"get f6e3fd19\n":                           `(?m)^outcome +escalated$`,
		"get f6e3fd19 --as-of":                     `(?m)^outcome +accepted$`,
		"shard list --as-of 500":                   `(?m)^shard-001 `,
		"key list --as-of 500":                     `(?m)^hmac-90e62c5e86f10c2f +active `,
		"get f6e3fd19 --history":                   `(?m) escalated +false +d_hat_mismatch +2 `,
		"audit --shard shard-002 --last":           `shard-002`,
		"--outcome refused --count-by":             `(?m)^bad_signature `,
		"--count-by address":                       `(?m)^127\.0\.0\.1 +accepted +[1-9]`,
		"operations --since":                       `published policy 10ba8da6`,
		"policy history":                           `(?m)10ba8da6.* activated `,
		"cluster status":                           `3 of 3 ready`,
		"tail --from-seq 1 --limit 5":              `(?m)^([^\n]+\n){5,}`,
		"--as-of 500 --last 5":                     `(?m)^[0-9]+ `,
		"policy show 10ba8da6":                     `tol_d: "0.01"`,
		"generation list":                          `(?m)^ +2 +active `,
		"key list":                                 `hmac-90e62c5e86f10c2f`,
		"--kind generation_activated":              `"INC-7"`,
		"evidence --since":                         `(?m)^events +1 to `,
		"export verify":                            `All checks hold: events 1 to `,
		"digest --seq 500":                         `3 endpoints agree at seq 500`,
		"ledger.pub --dir":                         `(?m)^result +[1-9][0-9,]* events, 2 generations, all answers reproduced$`,
		"ledger.pub --checkpoint":                  `(?m)^checkpoint +of [1-9][0-9]* events, .*today\.note, signed by recount/`,
		"audit verify --from":                      `(?m)^result +500 events, 1 generation, all answers reproduced$`,
	}
	seen := map[string]bool{}
	digest := ""
	for _, s := range all {
		if s.code != 0 && !strings.Contains(s.line, "recount submit ") {
			t.Errorf("%s: exit code %d:\n%s", s.line, s.code, s.out)
		}
		for part, out := range want {
			if strings.Contains(s.line+"\n", part) {
				seen[part] = true
				if !regexp.MustCompile(out).MatchString(s.out) {
					t.Errorf("%s: nothing matches %s:\n%s", s.line, out, s.out)
				}
			}
		}
		if m := regexp.MustCompile(`"log": "([0-9a-f]{64})"`).FindStringSubmatch(s.out); m != nil {
			digest = m[1]
		}
		if strings.Contains(s.line, "digest --seq") && (digest == "" || !strings.Contains(s.out, digest[:12])) {
			t.Errorf("the export says %s, the nodes\n%s", digest, s.out)
		}
	}
	for part := range want {
		if !seen[part] {
			t.Errorf("docs/auditing.md has no line with %q", part)
		}
	}
}
