package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
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
	raiseVersion(t, ctx, c, load, before, after)
	stop()
	d := sameDigest(t, ctx, c)
	t.Logf("%d submissions over %d steps, digest at %d is %.16s", load.sent, 6*len(orders)+3, d.Seq, d.State)
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

// raiseVersion ends an upgrade under load: all nodes run the new build, and an operator raises the cluster version to
// what it knows. Then the earlier build, if it does not know that version, ends on the directory of a node without
// harm, and the new one goes on.
func raiseVersion(t *testing.T, ctx context.Context, c *harness.Cluster, load *upgradeLoad, before, after nodeBuild) {
	t.Helper()
	earlier := clusterOf(t, ctx, c, 0)
	for node := range 3 {
		upgradeStep(t, ctx, c, load, node, after)
	}
	now := clusterOf(t, ctx, c, 0)
	if now.Members[0].KnowsVersion == nil {
		t.Fatalf("a member does not answer: %+v", now)
	}
	version := *now.Members[0].KnowsVersion
	got, err := client.MembersOf(load.client[0]).RaiseVersion(ctx,
		wire.ClusterVersionRequest{Op: wire.Op{Reason: "all nodes run the new build"}, Version: version})
	if err != nil || got.Version != version || (got.Seq == 0) != (now.ClusterVersion == version) {
		t.Fatalf("from %d: %+v, %v", now.ClusterVersion, got, err)
	}
	load.await(t, ctx, 5*upgradeClients)
	t.Logf("cluster version %d to %d %v", got.From, got.Version, load.mark(t))
	if k := earlier.Members[0].KnowsVersion; k != nil && *k >= version {
		t.Logf("%s knows version %d, too", before.version, version)
		return
	}
	refuseVersion(t, ctx, c, load, before, after)
}

// refuseVersion starts the earlier build on the log of a node, then the new one again. It deletes the folded state,
// because builds from before cluster versions do not notice that a newer build has folded it.
func refuseVersion(t *testing.T, ctx context.Context, c *harness.Cluster, load *upgradeLoad, before, after nodeBuild) {
	t.Helper()
	if err := errors.Join(c.Signal(0, syscall.SIGTERM), c.AwaitStopped(0)); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(c.NodeDir(0), "data")
	if err := errors.Join(os.RemoveAll(filepath.Join(data, "derived")),
		os.RemoveAll(filepath.Join(data, "generations"))); err != nil {
		t.Fatal(err)
	}
	if err := c.RestartAs(0, []string{before.bin}); err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if code, err := c.AwaitEnd(limit, 0); err != nil || code == 0 {
		t.Fatalf("%s goes on at a version that it does not know: code %d, %v", before.version, code, err)
	}
	if err := errors.Join(c.RestartAs(0, []string{after.bin}), c.AwaitReady(ctx, 0)); err != nil {
		t.Fatal(err)
	}
	load.await(t, ctx, 5*upgradeClients)
	load.again(t, ctx, 0)
	t.Logf("%s ended on node 1, %s goes on %v", before.version, after.version, load.mark(t))
}

func clusterOf(t *testing.T, ctx context.Context, c *harness.Cluster, node int) (out wire.ClusterAnswer) {
	t.Helper()
	web := c.HTTP(1)
	defer web.CloseIdleConnections()
	if status, err := harness.GetJSON(ctx, web, c.API[node]+"/v1/cluster", &out); err != nil || status != http.StatusOK {
		t.Fatalf("cluster: %d %v", status, err)
	}
	return out
}
