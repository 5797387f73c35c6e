package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
)

// operatorsDay is a cluster on which an operator works with the command line while agents submit.
type operatorsDay struct {
	t       *testing.T
	ctx     context.Context
	c       *harness.Cluster
	load    *upgradeLoad
	recount string   // the program
	node    []string // the program of nodes that are started
	port    int
	members []int // nodes that belong to the cluster and run
	calm    int   // submissions before each step
	table   strings.Builder
	sent    int
}

// TestOperatorsDay adds, promotes, drains, moves leadership to, removes, loses, replaces and restarts nodes with the
// commands of the manual, under the load of 32 Go clients. No submission fails. After each step all members have the
// same digests and give every agent its last answer again. In the end each acknowledged record is in the ledger once.
// OPERATOR_DAY=whole also upgrades all nodes from an earlier build, goes back, and upgrades again (see TestUpgrades),
// and looks longer at each step.
func TestOperatorsDay(t *testing.T) {
	whole := full || os.Getenv("OPERATOR_DAY") == "whole"
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	after, before := nodeBuild{bin: nodeBin}, nodeBuild{bin: nodeBin}
	if whole {
		before, after = upgradeBuilds(t)
	}
	d := startDay(t, ctx, before.bin)
	d.node = []string{after.bin}
	if whole {
		d.calm *= 15
		d.replaceProgram(after)
		d.replaceProgram(before)
		d.replaceProgram(after)
	}
	d.grow()
	d.handOver()
	d.shrink()
	d.loseLeader()
	if whole {
		for _, node := range d.members {
			d.step(fmt.Sprintf("restart node-%d", node+1), func() { d.stop(node); d.start(node) })
		}
	}
	d.end()
}

func startDay(t *testing.T, ctx context.Context, bin string) *operatorsDay {
	t.Helper()
	d := &operatorsDay{t: t, ctx: ctx, recount: filepath.Join(t.TempDir(), "recount"), members: []int{0, 1, 2},
		calm: 2 * upgradeClients}
	if err := harness.Build(root, d.recount, "./cmd/recount"); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.port, err = harness.FreePort(5); err != nil {
		t.Fatal(err)
	}
	if d.c, err = harness.Start(ctx, bin, t.TempDir(), 3, d.port, harness.Keys...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.c.Stop()
		if t.Failed() {
			printLogs(t, d.c, len(d.c.API))
		}
	})
	// The agents know the addresses of the day from its beginning, also of nodes that do not run yet or no more.
	agents := *d.c
	agents.API = slices.Clone(d.c.API)
	for node := 3; node < 5; node++ {
		agents.API = append(agents.API, fmt.Sprintf("https://127.0.0.1:%d", d.port+10*node))
	}
	var stop func()
	d.load, stop = startUpgradeLoad(t, ctx, &agents, 2*everySubmission)
	d.load.stop = stop
	d.load.await(t, ctx, 10*upgradeClients)
	fmt.Fprintf(&d.table, "%-24s %6s %7s %21s %21s %8s  %s\n", "step", "sent", "failed",
		"before: p99 / max", "in it: p99 / max", "took", "digest of all members")
	return d
}

// step does something under load and looks at what it did to the agents and to the members.
func (d *operatorsDay) step(what string, do func()) {
	d.t.Helper()
	if d.t.Failed() {
		d.t.FailNow()
	}
	d.count(d.load.mark(d.t))
	d.load.await(d.t, d.ctx, d.calm)
	before := d.count(d.load.mark(d.t))
	began := time.Now()
	do()
	took := time.Since(began)
	d.load.await(d.t, d.ctx, d.calm)
	d.load.caughtUp(d.t, d.ctx)
	p := d.count(d.load.mark(d.t))
	digest := equalDigests(d.t, d.ctx, d.c, d.members...)
	for _, node := range d.members {
		d.load.again(d.t, d.ctx, node)
	}
	fmt.Fprintf(&d.table, "%-24s %6d %7d %21s %21s %8s  %.12s at %d\n", what, p.sent, p.failed,
		p99Text(before), p99Text(p), took.Round(100*time.Millisecond), digest.State, digest.Seq)
}

func p99Text(p phase) string {
	return fmt.Sprintf("%v / %v", p.p99.Round(time.Millisecond), p.max.Round(time.Millisecond))
}

func (d *operatorsDay) count(p phase) phase {
	d.sent += p.sent
	return p
}

// cluster gives a command to the members that run.
func (d *operatorsDay) cluster(args ...string) string {
	d.t.Helper()
	var endpoints []string
	for _, node := range d.members {
		endpoints = append(endpoints, d.c.API[node])
	}
	out, err := asOperator(d.ctx, d.c, endpoints, d.recount, append([]string{"cluster"}, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("recount cluster %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (d *operatorsDay) stop(node int) {
	d.t.Helper()
	if err := d.c.Signal(node, syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if err := d.c.AwaitStopped(node); err != nil {
		d.t.Fatal(err)
	}
}

func (d *operatorsDay) start(node int) {
	d.t.Helper()
	if err := d.c.RestartAs(node, d.node); err != nil {
		d.t.Fatal(err)
	}
	if err := d.c.AwaitReady(d.ctx, node); err != nil {
		d.t.Fatal(err)
	}
}

// replaceProgram upgrades or downgrades one node after the other, the leader last.
func (d *operatorsDay) replaceProgram(b nodeBuild) {
	d.t.Helper()
	last := leaderOf(d.t, d.ctx, d.c)
	order := append(slices.DeleteFunc(slices.Clone(d.members), func(node int) bool { return node == last }), last)
	program := d.node
	d.node = []string{b.bin}
	for _, node := range order {
		d.step(fmt.Sprintf("node-%d to %s", node+1, b.version), func() { d.stop(node); d.start(node) })
		if got := versionOf(d.t, d.ctx, d.c, node); got != b.version {
			d.t.Fatalf("node %d runs %s, not %s", node+1, got, b.version)
		}
	}
	d.node = program
}

// grow makes a voter of node-4.
func (d *operatorsDay) grow() {
	d.t.Helper()
	d.step("add node-4", func() {
		peer := newNode(d.t, d.c, d.node, d.port, 3)
		d.await("node-4", func() error { return d.alive(3) })
		d.cluster("add", "node-4", "--peer", peer, "--api", d.c.API[3], "--reason", "a fourth", "--wait", "1m")
		d.members = append(d.members, 3)
	})
	d.step("promote node-4", func() { d.cluster("promote", "node-4", "--reason", "it keeps up", "--wait", "1m") })
}

// handOver moves leadership to node-4 and to node-1, which is drained and stopped while it leads.
func (d *operatorsDay) handOver() {
	d.t.Helper()
	for _, to := range []string{"node-4", "node-1"} {
		d.step("transfer to "+to, func() {
			d.cluster("transfer", to, "--reason", "load")
			if id := fmt.Sprintf("node-%d", leaderOf(d.t, d.ctx, d.c)+1); id != to {
				d.t.Fatalf("%s leads, not %s", id, to)
			}
		})
	}
	d.step("drain node-1, restart it", func() {
		if out := d.cluster("drain", "node-1", "--reason", "a new kernel"); !strings.Contains(out, "node-1 may be stopped") {
			d.t.Fatal(out)
		}
		d.stop(0)
		d.start(0)
	})
}

// shrink removes node-2 while it runs.
func (d *operatorsDay) shrink() {
	d.t.Helper()
	d.step("remove node-2", func() {
		d.members = slices.DeleteFunc(d.members, func(node int) bool { return node == 1 })
		d.cluster("remove", "node-2", "--reason", "three are enough", "--yes")
		d.await("node-2 to know", func() error { return d.notReady(1, "removed") })
	})
	d.step("stop node-2", func() { d.stop(1) })
}

// loseLeader kills node-3 while it leads, deletes its directory, and puts node-5 in its place.
func (d *operatorsDay) loseLeader() {
	d.t.Helper()
	if leaderOf(d.t, d.ctx, d.c) != 2 {
		d.step("transfer to node-3", func() { d.cluster("transfer", "node-3", "--reason", "load") })
	}
	d.step("kill -9 of node-3, leads", func() {
		d.members = slices.DeleteFunc(d.members, func(node int) bool { return node == 2 })
		if err := d.c.Kill(2); err != nil {
			d.t.Fatal(err)
		}
	})
	if err := os.RemoveAll(filepath.Join(d.c.NodeDir(2), "data")); err != nil {
		d.t.Fatal(err)
	}
	d.step("replace node-3 node-5", func() {
		peer := newNode(d.t, d.c, d.node, d.port, 4)
		d.await("node-5", func() error { return d.alive(4) })
		d.cluster("replace", "node-3", "node-5", "--peer", peer, "--api", d.c.API[4], "--reason", "lost its disk", "--yes")
		d.members = append(d.members, 4)
	})
}

// end stops the agents and compares what they were told with the ledger of each member.
func (d *operatorsDay) end() {
	d.t.Helper()
	d.load.await(d.t, d.ctx, d.calm)
	d.load.stop()
	d.count(d.load.mark(d.t))
	digest := equalDigests(d.t, d.ctx, d.c, d.members...)
	for _, node := range d.members {
		d.load.checkLedger(d.t, d.ctx, node)
	}
	d.t.Logf("%d submissions, each acknowledged record is in the ledger once, digest at %d is %.12s\n%s", d.sent,
		digest.Seq, digest.State, d.table.String())
}

func (d *operatorsDay) await(what string, f func() error) {
	d.t.Helper()
	waitFor(d.t, d.ctx, what, f)
}

func (d *operatorsDay) alive(node int) error {
	web := d.c.HTTP(1)
	defer web.CloseIdleConnections()
	resp, err := web.Get(d.c.API[node] + "/livez")
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// notReady returns an error unless a node says that it is not ready, with a word of the reason.
func (d *operatorsDay) notReady(node int, word string) error {
	r, err := d.load.client[0].At(node).Once(d.ctx, client.Request{Method: "GET", Path: "/readyz"})
	if err == nil && (r.Status == 200 || !strings.Contains(string(r.Body), word)) {
		err = fmt.Errorf("%d %s", r.Status, r.Body)
	}
	return err
}

// asOperator is a command of the tool for some endpoints of a cluster.
func asOperator(ctx context.Context, c *harness.Cluster, endpoints []string, tool string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(clean(), "RECOUNT_ENDPOINTS="+strings.Join(endpoints, ","),
		"RECOUNT_CA="+filepath.Join(c.Dir, "ca.pem"), "RECOUNT_TOKEN_FILE="+filepath.Join(c.Dir, "tokens", "operator.token"))
	return cmd
}
