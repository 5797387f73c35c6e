package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/test/harness"
)

// damaged is one thing that can happen to the disk of a node.
type damaged struct {
	name   string
	change func(t *testing.T, data string)
	env    []string
	says   string // in the log of the node that refuses to start
}

// TestDamagedDisks: two of three nodes acknowledge records while the third is away, and both are killed. One comes back with a
// damaged, lost or exchanged directory, beside the late one. It refuses to start, whatever happened, and nothing acknowledged is lost.
func TestDamagedDisks(t *testing.T) {
	other, _ := start(t, 1)
	c, ctx := start(t, 3)
	if err := other.Kill(0); err != nil {
		t.Fatal(err)
	}
	ids := acknowledgedByTwo(t, ctx, c)
	data := filepath.Join(c.NodeDir(0), "data")
	kept := filepath.Join(t.TempDir(), "kept")
	copyDir(t, data, kept)
	restart(t, c, 2)
	awaitAlive(t, ctx, c, 2)
	in := func(dir string) func(*testing.T, string) {
		return func(t *testing.T, data string) { copyDir(t, dir, data) }
	}
	wal := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, data string) {
			copyDir(t, kept, data)
			changeWAL(t, data, change)
		}
	}
	for _, d := range []damaged{
		{"flipped bit", wal(func(b []byte) []byte { b[len(b)*3/4] ^= 1; return b }), nil, "leave it stopped"},
		{"write-ahead log cut", wal(func(b []byte) []byte { return b[:len(b)/2] }), nil, "leave it stopped"},
		{"write-ahead log emptied", wal(func([]byte) []byte { return nil }), nil, "leave it stopped"},
		{"write-ahead log removed", func(t *testing.T, data string) {
			copyDir(t, kept, data)
			for _, name := range wals(t, data) {
				must(t, os.Remove(name))
			}
		}, nil, "leave it stopped"},
		{"events removed", func(t *testing.T, data string) {
			copyDir(t, kept, data)
			must(t, os.RemoveAll(filepath.Join(data, "events")))
			must(t, os.RemoveAll(filepath.Join(data, "derived")))
			must(t, os.RemoveAll(filepath.Join(data, "generations")))
		}, nil, "this node was a member before"},
		{"copy of another node", in(filepath.Join(c.NodeDir(1), "data")), nil, "belongs to another node"},
		{"another cluster", in(filepath.Join(other.NodeDir(0), "data")), nil, "belongs to another node"},
		{"wiped", func(*testing.T, string) {}, nil, "the directory is empty"},
		{"wiped, started as new", func(*testing.T, string) {}, []string{"RECOUNT_NEW_CLUSTER=true"}, "was lost or exchanged"},
	} {
		must(t, os.RemoveAll(data))
		d.change(t, data)
		refuses(t, ctx, c, d)
	}
	restart(t, c, 1)
	if err := c.AwaitReady(ctx, 1, 2); err != nil {
		t.Fatal(err)
	}
	client, lost := c.HTTP(2), 0
	defer client.CloseIdleConnections()
	for _, id := range ids {
		var answer struct{}
		if status, err := harness.GetJSON(ctx, client, c.API[2]+"/v1/pcs/"+id, &answer); err != nil || status != http.StatusOK {
			lost++
		}
	}
	t.Logf("%d records acknowledged by two of three nodes, of which one lost its disk: %d lost", len(ids), lost)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged records are lost", lost, len(ids))
	}
}

// acknowledgedByTwo stops node 2, sends records to the others, and kills those.
func acknowledgedByTwo(t *testing.T, ctx context.Context, c *harness.Cluster) (ids []string) {
	t.Helper()
	must(t, c.Kill(2))
	src, err := harness.NewSource(root)
	must(t, err)
	client := c.HTTP(2)
	defer client.CloseIdleConnections()
	for range 20 {
		body, err := src.Next("disks")
		must(t, err)
		var record struct {
			ID string `json:"pcs_id"`
		}
		must(t, json.Unmarshal(body, &record))
		deadline := time.After(30 * time.Second)
		for !sent(ctx, client, c.API[0], body) {
			select {
			case <-deadline:
				t.Fatal("a record is not acknowledged")
			default:
			}
		}
		ids = append(ids, record.ID)
	}
	must(t, c.Kill(0))
	must(t, c.Kill(1))
	return ids
}

func sent(ctx context.Context, client *http.Client, api string, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/v1/pcs/submit", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// refuses starts node 0 and expects it to end by itself, with the exit code after which nobody starts it
// again and words that say why.
func refuses(t *testing.T, ctx context.Context, c *harness.Cluster, d damaged) {
	t.Helper()
	path := filepath.Join(c.NodeDir(0), "log")
	before, err := os.ReadFile(path)
	must(t, err)
	must(t, c.Restart(0, append(append([]string(nil), harness.Keys...), d.env...)...))
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	code, err := c.AwaitEnd(ctx, 0)
	after, rerr := os.ReadFile(path)
	must(t, rerr)
	said := string(after[len(before):])
	if err != nil || code != node.ExitStore || !strings.Contains(said, d.says) {
		t.Errorf("%s: exit %d, %v; its log: %s", d.name, code, err, said[max(0, len(said)-600):])
		return
	}
	t.Logf("%s: exit %d", d.name, code)
}

func restart(t *testing.T, c *harness.Cluster, i int) {
	t.Helper()
	must(t, c.Restart(i, harness.Keys...))
}

// awaitAlive waits until the process of node i answers.
func awaitAlive(t *testing.T, ctx context.Context, c *harness.Cluster, i int) {
	t.Helper()
	client := c.HTTP(1)
	defer client.CloseIdleConnections()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		var body struct{}
		if status, _ := harness.GetJSON(ctx, client, c.API[i]+"/livez", &body); status == http.StatusOK {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("node %d does not answer", i+1)
		}
	}
}

func wals(t *testing.T, data string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "events", "*.log"))
	must(t, err)
	return names
}

// changeWAL changes what was written to the newest write-ahead log that has anything.
func changeWAL(t *testing.T, data string, change func([]byte) []byte) {
	t.Helper()
	for _, name := range wals(t, data) {
		b, err := os.ReadFile(name)
		must(t, err)
		if b = bytes.TrimRight(b, "\x00"); len(b) > 1000 {
			must(t, os.WriteFile(name, change(b), 0o600))
			return
		}
	}
	t.Fatal("no write-ahead log")
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
