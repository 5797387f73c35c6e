package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestSlowNodePage plays docs/runbooks/slow-node.md on a node, but for the tunnel: the node is on this machine.
func TestSlowNodePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/runbooks/slow-node.md")
	if err != nil {
		t.Fatal(err)
	}
	d, dir := newDebugged(t), t.TempDir()
	token := filepath.Join(dir, "operator.token")
	if err := os.WriteFile(token, []byte(d.Tokens[wire.RoleOperator]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if !strings.HasPrefix(block[1], "ssh ") {
			script += block[1]
		}
	}
	script = strings.NewReplacer("127.0.0.1:6060", d.listen, "FOR=20", "FOR=1").Replace(script)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "RECOUNT_TOKEN_FILE="+token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, text := range []string{"Type: cpu", "Type: inuse_space", "flat%"} {
		if !strings.Contains(string(out), text) {
			t.Errorf("no %q in %s", text, out)
		}
	}
	for _, name := range strings.Fields("cpu.pprof heap.pprof allocs.pprof stacks.txt trace.out block.pprof mutex.pprof") {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
