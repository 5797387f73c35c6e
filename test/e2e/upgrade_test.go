package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// nodeBuild is a program of a node and the version that it says it has.
type nodeBuild struct{ bin, version string }

// upgradeBuilds are the program to upgrade from and the one of this tree, with versions that tell them apart. The first is BASE,
// or built from the commit UPGRADE_FROM, the newest release, or else the commit before this one.
func upgradeBuilds(t *testing.T) (before, after nodeBuild) {
	t.Helper()
	dir := t.TempDir()
	version := func(v string) string {
		return "-ldflags=-X github.com/recount-ledger/recount/internal/version.Version=" + v
	}
	after = nodeBuild{filepath.Join(dir, "after"), "this-tree"}
	if err := harness.Build(root, after.bin, "./cmd/node", version(after.version)); err != nil {
		t.Fatal(err)
	}
	if bin := os.Getenv("BASE"); bin != "" {
		out, err := exec.Command(bin, "version").Output()
		words := strings.Fields(string(out)) // recount-node version v1.2.3 ...
		if err != nil || len(words) < 3 {
			t.Fatalf("%s version: %v: %s", bin, err, out)
		}
		return nodeBuild{bin, words[2]}, after
	}
	from := os.Getenv("UPGRADE_FROM")
	if from == "" {
		tags, err := harness.Git(root, "tag", "--list", "v[0-9]*", "--merged", "HEAD", "--sort=-v:refname")
		if err != nil {
			t.Skipf("there is no history to build an earlier node from: %v", err)
		}
		newest, _, _ := strings.Cut(tags, "\n")
		from = cmp.Or(newest, "HEAD~1")
	}
	commit, err := harness.Git(root, "rev-parse", "--short=12", "--verify", from+"^{commit}")
	if err != nil && os.Getenv("UPGRADE_FROM") == "" {
		t.Skipf("there is no %s to upgrade from: %v", from, err)
	}
	before = nodeBuild{filepath.Join(dir, "before"), commit}
	if err == nil {
		err = harness.BuildCommit(root, commit, before.bin, "./cmd/node", version(commit))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("from %s, which is %s", from, commit)
	return before, after
}

// TestUpgrades replaces the program of one node after the other, and goes back, in every order of the nodes, under the load of
// 32 Go clients. No submission fails, and after each step the nodes have the same digests.
func TestUpgrades(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}}
	if !full && os.Getenv("UPGRADE_ORDERS") != "all" {
		orders = orders[:1]
	}
	before, after := upgradeBuilds(t)
	port, err := harness.FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	c, err := harness.Start(ctx, before.bin, t.TempDir(), 3, port, harness.Keys...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Stop()
		if t.Failed() {
			printLogs(t, c, 3)
		}
	})
	if err := c.AwaitReady(ctx, 0, 1, 2); err != nil {
		t.Fatal(err)
	}
	load, stop := startUpgradeLoad(t, ctx, c, everySubmission)
	load.await(t, ctx, 10*upgradeClients)
	load.mark(t)
	load.await(t, ctx, 30*upgradeClients)
	t.Logf("before                 %v", load.mark(t))
	for _, order := range orders {
		for _, b := range []nodeBuild{after, before} {
			for _, node := range order {
				upgradeStep(t, ctx, c, load, node, b)
			}
		}
		if t.Failed() {
			return
		}
	}
	load.await(t, ctx, 30*upgradeClients)
	t.Logf("after                  %v", load.mark(t))
	stop()
	d := sameDigest(t, ctx, c)
	t.Logf("%d submissions over %d steps, digest at %d is %.16s", load.sent, 6*len(orders), d.Seq, d.State)
}

// upgradeStep stops a node as an operator does and starts another program on its directory.
func upgradeStep(t *testing.T, ctx context.Context, c *harness.Cluster, load *upgradeLoad, node int, b nodeBuild) {
	t.Helper()
	leader, began := leaderOf(t, ctx, c), time.Now()
	if err := c.Signal(node, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitStopped(node); err != nil {
		t.Fatal(err)
	}
	if err := c.RestartAs(node, []string{b.bin}); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(ctx, node); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if got := versionOf(t, ctx, c, node); got != b.version {
		t.Fatalf("node %d runs %s, not %s", node+1, got, b.version)
	}
	load.await(t, ctx, 5*upgradeClients)
	p := load.mark(t)
	d := sameDigest(t, ctx, c)
	load.again(t, ctx, node)
	role := "follower"
	if node == leader {
		role = "leader"
	}
	t.Logf("%-12s on node %d, %-8s %v, ready again after %.1f s, digest at %d is %.16s", b.version, node+1, role, p,
		took.Seconds(), d.Seq, d.State)
}

func versionOf(t *testing.T, ctx context.Context, c *harness.Cluster, node int) string {
	t.Helper()
	web := c.HTTP(1)
	defer web.CloseIdleConnections()
	var v struct{ Version string }
	if status, err := harness.GetJSON(ctx, web, c.API[node]+"/version", &v); err != nil || status != http.StatusOK {
		t.Fatal(fmt.Errorf("version of node %d: %d %w", node+1, status, err))
	}
	return v.Version
}
