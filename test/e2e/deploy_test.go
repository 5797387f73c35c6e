package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// afterDeploy lists the commands that try a cluster once docs/trial.md is done: the agent's key signs for its own shards only, alice reads, a node
// comes back without --new-cluster, and one that lost its disk does not.
var afterDeploy = []string{
	`sed 's/shard-001/lab-7-a/' testdata/record.json | recount sign --scheme pcs/2 --pcs-id --key-file agent-7.key > own.ndjson`,
	`recount submit own.ndjson`,
	`sed 's/shard-001/elsewhere/' testdata/record.json | recount sign --scheme pcs/2 --pcs-id --key-file agent-7.key | recount submit -`,
	`RECOUNT_TOKEN_FILE=alice.token recount audit --shard lab-7-a`,
	`RECOUNT_TOKEN_FILE=alice.token recount freeze --reason try`,
	`second=$(jobs -p | sed -n 2p); kill $second; wait $second`,
	`recount-node serve --config out/node-2/config.yaml 2>> out/node-2/log &`,
	`curl -sS --retry 20 --retry-delay 1 --retry-all-errors --fail --cacert out/api-ca.crt https://127.0.0.1:9450/readyz`,
	`recount cluster status`,
	`third=$(jobs -p | sed -n 2p); kill $third; wait $third; rm -r out/node-3/data`,
	`recount-node serve --config out/node-3/config.yaml`,
	`recount cluster status`,
	`kill $(jobs -p); wait`,
}

// TestDeploy plays the blocks of docs/trial.md word for word, but for addresses: as they stand, with three ports of one address, and
// with an address and a directory for each node, as on three machines.
func TestDeploy(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("docs/trial.md asks with curl, which is not on this machine")
	}
	port, err := harness.FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("one machine", func(t *testing.T) {
		playDeploy(t, nil, func(node int) string { return fmt.Sprintf("127.0.0.1:%d", port+10*node) })
	})
	t.Run("a directory and an address each", func(t *testing.T) {
		for node := range 3 {
			for more := range 2 {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", node+1, port+more))
				if err != nil {
					t.Skipf("this machine has not all of 127.0.0.0/8: %v", err)
				}
				l.Close()
			}
		}
		move := []string{"mkdir machines && mv out/node-1 out/node-2 out/node-3 machines/ && chmod 700 machines/*"}
		playDeploy(t, move, func(node int) string { return fmt.Sprintf("127.0.0.%d:%d", node+1, port) })
	})
}

// playDeploy plays the page with other addresses. The lines of move, if any, follow the first block and put the directories of the
// nodes from out/ into machines/.
func playDeploy(t *testing.T, move []string, address func(node int) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	blocks := shellBlocks(t, "docs/trial.md", 5)
	lines := []string{"export PATH=$PWD/bin:$PATH"}
	for i, b := range append(blocks, afterDeploy) {
		for _, line := range b {
			for node := range 3 {
				line = strings.ReplaceAll(line, fmt.Sprintf("127.0.0.1:%d", 9440+10*node), address(node))
			}
			if len(move) > 0 {
				line = strings.ReplaceAll(line, "out/node-", "machines/node-")
			}
			lines = append(lines, line)
		}
		if i == 0 {
			lines = append(lines, move...)
		}
	}
	checkDeploy(t, playLines(ctx, t, readmeCopy(t), lines))
}

// checkDeploy holds what the lines printed against what the page says of them. The order is that of the page.
func checkDeploy(t *testing.T, all []said) {
	t.Helper()
	checkPlayed(t, all, []playedLine{
		{"config init", 0, `node-3 +https://127`}, {"config check", 0, `(?m)^ok$`}, {"curl", 0, `(?m)^ok$`}, {"cluster status", 0, `3 of 3 ready`}, {"digest", 0, `3 endpoints agree`},
		{"token create", 0, `Token .* of alice, role auditor`}, {"keygen", 0, ``}, {"key add", 0, `(?m)^shards +lab-7-\*$`},
		{"submit own.ndjson", 0, `(?m)^outcome +accepted$`}, {"elsewhere", 4, `key_not_allowed`}, {"recount audit", 0, `lab-7-a`}, {"freeze", 4, `may not do this`},
		{"readyz", 0, `(?m)^ok$`}, {"cluster status", 0, `3 of 3 ready`}, {"serve --config", 70, `--new-cluster`}, {"cluster status", 0, `2 of 3 ready`}, {"kill", 0, ``},
	})
}

// playedLine is expected of one line of a page.
type playedLine struct {
	in   string // part of the line
	code int
	out  string // matches what it prints
}

// checkPlayed holds lines against what is wanted of some of them, in that order. All others end with code 0.
func checkPlayed(t *testing.T, all []said, want []playedLine) {
	t.Helper()
	next := 0
	for _, s := range all {
		code := 0
		if next < len(want) && strings.Contains(s.line, want[next].in) && !strings.HasSuffix(s.line, "&") {
			code = want[next].code
			if !regexp.MustCompile(want[next].out).MatchString(s.out) {
				t.Errorf("%s: nothing matches %s:\n%s", s.line, want[next].out, s.out)
			}
			next++
		}
		if s.code != code {
			t.Errorf("%s: exit code %d, want %d:\n%s", s.line, s.code, code, s.out)
		}
	}
	if next < len(want) {
		t.Errorf("no line with %q", want[next].in)
	}
}
