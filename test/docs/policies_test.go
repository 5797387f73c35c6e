package docs

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
)

// policyID finds ids of policies, whole or shortened, in examples: behind a command, a flag or a member.
var policyID = regexp.MustCompile(`(?:policy (?:show|apply|diff|new --from)|--policy|\bpolicy|\bpolicy:|[{ ]id:) "?([0-9a-f]{8,64})\b`)

// TestPolicyIDsOfExamples: an example that names a policy names the one of genesis, or one whose document is in testdata/policies.
func TestPolicyIDsOfExamples(t *testing.T) {
	id := verify.DefaultPolicy().ID()
	genesis := hex.EncodeToString(id[:])
	known := []string{genesis}
	files, err := filepath.Glob(filepath.Join(root, "testdata", "policies", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := publish.Parse(b)
		if err != nil {
			t.Fatal(f, err)
		}
		id := p.ID()
		known = append(known, hex.EncodeToString(id[:]))
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob(filepath.Join(root, "cmd", "recount", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, path := range append(append(pages, sources...), filepath.Join(root, "README.md"), filepath.Join(root, "api", "openapi.yaml")) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
	next:
		for _, m := range policyID.FindAllStringSubmatch(string(b), -1) {
			named++
			for _, k := range known {
				if strings.HasPrefix(k, m[1]) {
					continue next
				}
			}
			t.Errorf("%s names the policy %s, which is neither that of genesis (%s) nor one of testdata/policies", path, m[1], genesis)
		}
	}
	if named < 15 {
		t.Errorf("only %d ids of policies found", named)
	}
}
