package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// TestMembersPage plays docs/trial.md, loses node-3, and plays docs/members.md word for word but for the ports.
func TestMembersPage(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the pages ask with curl, which is not on this machine")
	}
	port, err := harness.FreePort(4)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	lines := []string{"export PATH=$PWD/bin:$PATH"}
	add := func(blocks [][]string) {
		for _, b := range blocks {
			for _, line := range b {
				for node := range 4 {
					for more := range 2 {
						old, now := fmt.Sprintf(":%d", 9440+10*node+more), fmt.Sprintf(":%d", port+10*node+more)
						line = strings.ReplaceAll(line, old, now)
					}
				}
				line = strings.ReplaceAll(line, "=127.0.0.1:9440,", fmt.Sprintf("=127.0.0.1:%d,", port))
				lines = append(lines, line)
			}
		}
	}
	add(shellBlocks(t, "docs/trial.md", 5)[:4])
	lines = append(lines, `third=$(jobs -p | sed -n 3p); kill $third; wait $third; rm -r out/node-3/data`)
	add(shellBlocks(t, "docs/members.md", 6))
	lines = append(lines, `recount operations`, `recount-node serve --config out/node-3/config.yaml --join`, `kill $(jobs -p); wait`)
	checkPlayed(t, playLines(ctx, t, readmeCopy(t), lines), []playedLine{
		{"cluster status", 0, `3 of 3 ready`}, {"cluster status", 0, `2 of 3 ready`},
		{"recount-node join", 0, `out/node-4/peer.csr`}, {"sign-node", 0, `recount://ledger/node/node-4`},
		{"config check", 0, `(?m)^ok$`}, {"/readyz", 0, `ok`},
		{"cluster replace", 0, `(?s)added +done before\npromoted +seq \d+\nremoved +seq \d+`},
		{"cluster status", 0, `(?s)node-4 +follower +voter +yes.*3 of 3 ready`}, {"digest", 0, `3 endpoints agree`},
		{"operations", 0, `(?s)added member node-4.*promoted member node-4.*removed member node-3`},
		{"--join", 1, `was removed from the cluster`}, {"kill", 0, ``},
	})
}

// TestReplaceNodeUnderLoad kills a node under the load of the Go client, deletes its directory, removes it and makes a new node a
// voter. No submission fails, and in the end all three nodes have the same digests.
func TestReplaceNodeUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	port, err := harness.FreePort(4)
	if err != nil {
		t.Fatal(err)
	}
	c, err := harness.Start(ctx, nodeBin, t.TempDir(), 3, port, harness.Keys...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop() }()
	operator := operatorOf(t, c)
	l, stop := startUpgradeLoad(t, ctx, c, everySubmission)
	l.await(t, ctx, 300)
	const lost = 1
	if err := c.Kill(lost); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.NodeDir(lost), "data")); err != nil {
		t.Fatal(err)
	}
	members := client.MembersOf(operator)
	why := wire.Op{Reason: "lost its disk"}
	waitFor(t, ctx, "the removal", func() error {
		_, err := members.Remove(ctx, "node-2", why)
		if errors.Is(err, client.ErrNotFound) {
			return nil // by an earlier attempt
		}
		return err
	})
	peer := newNode(t, c, []string{nodeBin}, port, 3)
	waitFor(t, ctx, "the new node", func() error {
		_, err := members.Add(ctx, wire.MemberRequest{Op: why, NodeID: "node-4", PeerAddress: peer, APIAddress: c.API[3]})
		return err
	})
	waitFor(t, ctx, "the promotion", func() error { _, err := members.Promote(ctx, "node-4", why); return err })
	l.await(t, ctx, 300)
	if err := c.AwaitReady(ctx, 0, 2, 3); err != nil {
		t.Fatal(err)
	}
	stop()
	p := l.mark(t)
	t.Log(p)
	if p.failed != 0 {
		t.Errorf("%d submissions failed", p.failed)
	}
	equalDigests(t, ctx, c, 0, 2, 3)
}

// operatorOf is a client of the nodes of a dev cluster that acts as an operator.
func operatorOf(t *testing.T, c *harness.Cluster) *client.Client {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(c.Dir, "tokens", "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(client.Config{Endpoints: c.API[:1], CA: ca, Token: strings.TrimSpace(string(token))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// newNode starts one more node beside a dev cluster, which waits to be added, and returns its peer address. Nodes are counted
// from 0, and their ports follow from the first one.
func newNode(t *testing.T, c *harness.Cluster, program []string, port, node int) (peer string) {
	t.Helper()
	peer, err := c.Join(program, port, node, harness.Keys...)
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

// waitFor repeats f until it returns nil.
func waitFor(t *testing.T, ctx context.Context, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited too long for %s: %v", what, err)
		}
	}
}

// equalDigests compares the digests of nodes at the head of the first one, and returns them.
func equalDigests(t *testing.T, ctx context.Context, c *harness.Cluster, nodes ...int) (want wire.DigestAnswer) {
	t.Helper()
	web := c.HTTP(1)
	defer web.CloseIdleConnections()
	for i, node := range nodes {
		url := fmt.Sprintf("%s/v1/digest?seq=%d&min_seq=%d", c.API[node], want.Seq, want.Seq)
		if i == 0 {
			url = c.API[node] + "/v1/digest?consistency=linearizable"
		}
		var got wire.DigestAnswer
		if status, err := harness.GetJSON(ctx, web, url, &got); err != nil || status != http.StatusOK {
			t.Fatalf("node %d: %d, %v", node+1, status, err)
		}
		if i == 0 {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("node %d: %+v, node %d has %+v", node+1, got, nodes[0]+1, want)
		}
	}
	return want
}
