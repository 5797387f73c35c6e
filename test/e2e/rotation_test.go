package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/test/harness"
)

// TestKeyRotationOnBinaries goes from an old signing key over both to the new one, by the files of the nodes and the commands
// of the tool, while agents send without a pause. No submission fails.
func TestKeyRotationOnBinaries(t *testing.T) {
	const oldKey, newKey = "the old key of the agents", "the new key of the agents"
	c, ctx := start(t, 3, "PCS_SIGN_ALG=hmac", "PCS_HMAC_KEYS="+oldKey, "PCS_ED25519_PUB_B64=")
	write := func(keys ...string) {
		t.Helper()
		path := filepath.Join(c.Dir, "keys", "pcs_hmac_keys.key")
		if err := os.WriteFile(path, []byte(strings.Join(keys, ",")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	metrics := c.HTTP(4)
	defer metrics.CloseIdleConnections()
	held := func(keys float64) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; i < len(c.API); {
			all, err := c.Metrics(ctx, metrics, i)
			if err == nil && all["flk_keys"] == keys && all["flk_missing_secrets"] == 0 {
				i++
				continue
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("node %d holds %v keys, not %v", i+1, all["flk_keys"], keys)
			}
		}
	}
	var secret atomic.Pointer[string]
	use := func(key string) { secret.Store(&key) }
	use(oldKey)
	flow, stop := context.WithCancel(ctx)
	good, bad := agents(t, flow, c, &secret)
	more := func() {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for want := good.Load() + 200; good.Load() < want; <-tick.C {
			if ctx.Err() != nil {
				t.Fatal("the agents do not get on")
			}
		}
	}
	more()
	write(oldKey, newKey)
	held(2)
	if err := c.AwaitReady(ctx, 0, 1, 2); err != nil {
		t.Fatal(err)
	}
	use(newKey)
	more()
	retire(t, ctx, c, oldKey)
	write(newKey)
	held(1)
	more()
	stop()
	if n := bad(); n != 0 {
		t.Errorf("%d submissions failed", n)
	}
	t.Logf("%d submissions over a rotation, %d failed", good.Load(), bad())
}

// agents submit without a pause, one per node and key, until ctx ends; bad waits for them.
func agents(t *testing.T, ctx context.Context, c *harness.Cluster, secret *atomic.Pointer[string]) (good *atomic.Int64, bad func() int64) {
	t.Helper()
	good = new(atomic.Int64)
	var failed atomic.Int64
	var wg sync.WaitGroup
	records := nodetest.NewRecords(t)
	for w := range 6 { // every other one opens a connection per request
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: c.TLS(), DisableKeepAlives: w >= len(c.API)}}
		wg.Go(func() {
			defer client.CloseIdleConnections()
			for i := int64(1); ctx.Err() == nil; i++ {
				shard := string(rune('a' + w))
				text := string(records.Sign(nodetest.Record{Shard: shard, Epoch: i, Root: "r", Key: *secret.Load()}))
				a, err := (&harness.Case{Body: &text}).Send(context.WithoutCancel(ctx), client, c.API[w%len(c.API)])
				if err == nil && a.Status == http.StatusOK {
					good.Add(1)
				} else {
					failed.Add(1)
					t.Errorf("%v %d %s", err, a.Status, a.Raw)
				}
			}
		})
	}
	return good, func() int64 { wg.Wait(); return failed.Load() }
}

// TestCertificateRotationOnBinaries renews the certificates of both ports of all nodes, twice, with the built command, while
// agents send over kept and over new connections. No request fails, and nobody tells the nodes.
func TestCertificateRotationOnBinaries(t *testing.T) {
	c, ctx := start(t, 3)
	id, err := os.ReadFile(filepath.Join(c.Dir, "cluster-id"))
	if err != nil {
		t.Fatal(err)
	}
	var secret atomic.Pointer[string]
	secret.Store(new("previous-shared-key"))
	flow, stop := context.WithCancel(ctx)
	good, bad := agents(t, flow, c, &secret)
	metrics := c.HTTP(4)
	defer metrics.CloseIdleConnections()
	for round := range 2 {
		for i := range c.API {
			renew(t, ctx, c, strings.TrimSpace(string(id)), i)
			tick := time.NewTicker(50 * time.Millisecond)
			for loaded := 0.0; loaded < 2*float64(round+1); <-tick.C {
				all, err := c.Metrics(ctx, metrics, i)
				if ctx.Err() != nil {
					t.Fatalf("node %d does not load its new certificates: %v", i+1, err)
				}
				loaded = all[`flk_tls_reloads_total{certificate="api",result="loaded"}`] + all[`flk_tls_reloads_total{certificate="peer",result="loaded"}`]
			}
			tick.Stop()
		}
	}
	stop()
	if n := bad(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
	t.Logf("%d submissions over %d renewals of two certificates, %d failed", good.Load(), 2*len(c.API), bad())
}

// renew puts new certificates in the place of those of a node.
func renew(t *testing.T, ctx context.Context, c *harness.Cluster, cluster string, i int) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(ctx, nodeBin, "certs", "create-node", "--cluster", cluster, "--node", filepath.Base(c.NodeDir(i)), "--host", "127.0.0.1,localhost",
		"--validity", "30d", "--api-ca", filepath.Join(c.Dir, "api-ca", "ca"), "--peer-ca", filepath.Join(c.Dir, "peer-ca", "ca"), "--out", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for from, to := range map[string]string{"api.crt": "api.pem", "api.key": "api-key.pem", "peer.crt": "peer.pem", "peer.key": "peer-key.pem"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(c.NodeDir(i), to)); err != nil {
			t.Fatal(err)
		}
	}
}

// retire ends a key with the built tool.
func retire(t *testing.T, ctx context.Context, c *harness.Cluster, secret string) {
	t.Helper()
	tool := recountTool(t)
	out, err := exec.CommandContext(ctx, tool, "key", "list", "--dev", c.Dir, "-o", "json").Output()
	var keys []struct {
		KeyID string `json:"key_id"`
	}
	if jsonErr := json.Unmarshal(out, &keys); err != nil || jsonErr != nil || len(keys) != 2 {
		t.Fatalf("%v %v: %s", err, jsonErr, out)
	}
	if out, err := exec.CommandContext(ctx, tool, "key", "retire", keys[0].KeyID, "--reason", "rotation", "--yes", "--dev", c.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
