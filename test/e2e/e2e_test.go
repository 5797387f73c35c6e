// Package e2e runs the built binaries: whole clusters of processes over TLS, the corpora, and crashes.
// RECOUNT_E2E=full runs the long forms.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/test/harness"
)

var (
	nodeBin string
	root    string
	full    = os.Getenv("RECOUNT_E2E") == "full"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "recount-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		root, err = harness.Root()
	}
	if err == nil {
		nodeBin = filepath.Join(dir, "recount-node")
		out, buildErr := exec.Command("go", "build", "-o", nodeBin, "github.com/recount-ledger/recount/cmd/node").CombinedOutput()
		if err = buildErr; err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start(t *testing.T, nodes int, env ...string) (*harness.Cluster, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Minute)
	port, err := harness.FreePort(nodes)
	if err != nil {
		t.Fatal(err)
	}
	c, err := harness.Start(ctx, nodeBin, t.TempDir(), nodes, port, append(harness.Keys, env...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Stop()
		if t.Failed() {
			printLogs(t, c, nodes)
		}
	})
	return c, ctx
}

func printLogs(t *testing.T, c *harness.Cluster, nodes int) {
	for i := range nodes {
		b, _ := os.ReadFile(filepath.Join(c.NodeDir(i), "log"))
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		t.Logf("last lines of node-%d:\n%s", i+1, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
}

func corpora(t *testing.T, names ...string) (cases []harness.Case, first map[string]int) {
	t.Helper()
	first, err := harness.Rules(filepath.Join(root, "testdata", "rules.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		more, err := harness.Load(filepath.Join(root, "testdata", name+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, more...)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	return cases, first
}

type digest struct {
	Seq        uint64
	Log, State string
	Control    string
	Generation int
}

// ownDigest asks a node for its digest at its end. A node that switches to another generation answers 503 for a moment.
func ownDigest(t *testing.T, ctx context.Context, client *http.Client, api string) (d digest) {
	t.Helper()
	tick, late := time.NewTicker(50*time.Millisecond), time.NewTimer(30*time.Second)
	defer tick.Stop()
	defer late.Stop()
	for {
		status, err := harness.GetJSON(ctx, client, api+"/v1/digest", &d)
		if err == nil && status == http.StatusOK {
			return d
		}
		if err != nil || status != http.StatusServiceUnavailable {
			t.Fatalf("%s: digest: %d %v", api, status, err)
		}
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("%s: digest: %d for 30 s", api, status)
		}
	}
}

// sameDigest waits until every node has folded as far as the furthest and compares their digests there.
func sameDigest(t *testing.T, ctx context.Context, c *harness.Cluster) digest {
	t.Helper()
	client := c.HTTP(2)
	defer client.CloseIdleConnections()
	var top digest
	for _, api := range c.API {
		d := ownDigest(t, ctx, client, api)
		if d.Seq > top.Seq {
			top = d
		}
	}
	for i, api := range c.API {
		if d := digestAt(t, ctx, c, i, top.Seq); d != top {
			t.Fatalf("%s says %+v, another node %+v", api, d, top)
		}
	}
	return top
}

// digestAt asks one node for its digests at seq, once it has folded that far.
func digestAt(t *testing.T, ctx context.Context, c *harness.Cluster, node int, seq uint64) (d digest) {
	t.Helper()
	client := c.HTTP(1)
	defer client.CloseIdleConnections()
	url := fmt.Sprintf("%s/v1/digest?seq=%d&min_seq=%d", c.API[node], seq, seq)
	if status, err := harness.GetJSON(ctx, client, url, &d); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v", url, status, err)
	}
	return d
}

// TestCorpora sends every record in order, round-robin over the nodes, and checks status and every expected field. A
// second pass gives the first answers again.
func TestCorpora(t *testing.T) {
	sizes := []int{3}
	if full {
		sizes = []int{1, 3, 5}
	}
	for _, nodes := range sizes {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c, ctx := start(t, nodes)
			cases, first := corpora(t, "good-hmac", "good-ed25519", "bad-input")
			client := c.HTTP(4)
			defer client.CloseIdleConnections()
			answers, checker := map[string]harness.Answer{}, new(corpus.Checker)
			for i := range cases {
				a, err := cases[i].Send(ctx, client, c.API[i%nodes])
				if err != nil {
					t.Fatalf("%s: %v", cases[i].ID, err)
				}
				if err := cases[i].Check(a, first, checker); err != nil {
					t.Error(err)
				}
				answers[cases[i].ID] = a
			}
			before := sameDigest(t, ctx, c)
			secondPass(t, ctx, c, client, cases, answers)
			after := sameDigest(t, ctx, c)
			// What grows: evidence and refusals that are kept on every arrival, none of the plain replays.
			if grown := after.Seq - before.Seq; grown > uint64(len(cases)/8) {
				t.Errorf("the second pass added %d events", grown)
			}
			t.Logf("%d records, %d events, then %d", len(cases), before.Seq, after.Seq)
		})
	}
}

func secondPass(t *testing.T, ctx context.Context, c *harness.Cluster, client *http.Client, cases []harness.Case, answers map[string]harness.Answer) {
	t.Helper()
	for i := range cases {
		was := answers[cases[i].ID]
		if was.Status != 200 && was.Status != 202 || was.Outcome == "" {
			continue
		}
		a, err := cases[i].Send(ctx, client, c.API[(i+1)%len(c.API)])
		if err != nil {
			t.Fatalf("%s: %v", cases[i].ID, err)
		}
		if a.Status != was.Status || !a.Replayed || a.ReasonCode != was.ReasonCode || a.Seq != was.Seq {
			t.Errorf("%s again: %d %s\nbefore: %d %s", cases[i].ID, a.Status, a.Raw, was.Status, was.Raw)
		}
	}
}
