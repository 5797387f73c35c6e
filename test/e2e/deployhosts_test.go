package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostsProgram makes three hosts of namespaces and runs a script beside them.
func hostsProgram(t *testing.T, dir string) []string {
	t.Helper()
	for _, program := range []string{"ip", "unshare", "nsenter", "setpriv", "useradd", "runuser", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("three hosts need %s, which is not on this machine", program)
		}
	}
	apart := []string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	try := "ip link add try0 type bridge && ip link add try1 type veth peer name try2 && mount --bind /tmp /mnt"
	if out, err := exec.Command(apart[0], append(apart[1:], "sh", "-c", try)...).CombinedOutput(); err != nil {
		t.Skipf("this machine makes no namespaces with bridges and mounts: %v: %s", err, out)
	}
	return append(apart, filepath.Join(root, "test", "e2e", "testdata", "hosts", "hosts.sh"), dir)
}

// TestDeployHosts plays docs/deploy.md word for word on three hosts, each a network namespace with the address that the page
// names, its own /etc, /var/lib and /usr/local/bin, and its own user of the node.
func TestDeployHosts(t *testing.T) {
	dir := readmeCopy(t)
	program := hostsProgram(t, dir)
	if err := os.CopyFS(filepath.Join(dir, "deploy"), os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	blocks := shellBlocks(t, "docs/deploy.md", 10)
	if got := strings.Join(blocks[0], "\n"); got != "git clone https://github.com/recount-ledger/recount && cd recount\nmake build" {
		t.Errorf("the first block does not fetch and build: %s", got)
	}
	var lines []string
	for _, b := range blocks[1:] {
		lines = append(lines, b...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	all := playLinesBy(ctx, t, dir, program, lines)
	t.Logf("%d commands after the build in %.1f s", len(lines), time.Since(began).Seconds())
	checkPlayed(t, all, []playedLine{
		{"export PATH", 0, ``}, {"config init", 0, `node-3 +https://10.0.0.3:9440`}, {"useradd", 0, ``}, {"install -d", 0, ``},
		{"recount-node root@", 0, ``}, {"recount-node.service", 0, ``}, {"out/node-", 0, ``}, {"chown", 0, ``},
		{"config check", 0, `(?s)ok\n.*ok\n.*ok\n`}, {"set-environment", 0, ``}, {"enable", 0, ``}, {"curl", 0, `(?m)^ok$`},
		{"RECOUNT_ENDPOINTS", 0, ``}, {"RECOUNT_CA", 0, ``}, {"cluster status", 0, `3 of 3 ready`}, {"digest", 0, `3 endpoints agree`},
		{"recount doctor", 0, `0 critical, 0 warnings, 0 notes on 3 nodes: all is well`},
		{"--name alice", 0, `Token .* of alice, role auditor`}, {"--name bob", 0, `role operator`}, {"keygen", 0, ``},
		{"key add", 0, `(?m)^shards +lab-7-\*$`}, {"recount sign", 0, ``}, {"submit first", 0, `(?m)^outcome +accepted$`},
		{"recount audit", 0, `lab-7-a`},
		{"keygen", 0, ``}, {"backup create", 0, ``}, {"backup verify", 0, ``}, {"backup list", 0, ``},
		{"systemctl stop", 0, ``}, {"submit first", 0, `(?m)^outcome +accepted`},
		{"recount doctor", 1, `node +node-2`}, {"systemctl start", 0, ``}, {"curl", 0, `(?m)^ok$`}, {"recount doctor", 0, `all is well`},
	})
}

// TestUnitOfThePage: the unit file and the one that docs/hardening.md shows are the same, and it starts what docs/deploy.md installs.
func TestUnitOfThePage(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var shown strings.Builder
	for line := range strings.Lines(read("deploy/systemd/recount-node.service")) {
		if line != "\n" {
			line = "    " + line
		}
		shown.WriteString(line)
	}
	if !strings.Contains(read("docs/hardening.md"), shown.String()) {
		t.Errorf("docs/hardening.md does not show the unit:\n%s", shown.String())
	}
}
