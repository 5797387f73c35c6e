package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// keyFile is a file of HMAC keys, one a line.
type keyFile string

func (f keyFile) read() ([]verify.Key, error) {
	b, err := secretfile.Read(string(f))
	var out []verify.Key
	for _, line := range strings.Fields(string(b)) {
		k, keyErr := verify.NewHMACKey([]byte(line))
		out, err = append(out, k), errors.Join(err, keyErr)
	}
	return out, err
}

// write replaces the file in place, as an editor may do.
func (f keyFile) write(t *testing.T, keys ...string) {
	t.Helper()
	if err := os.WriteFile(string(f), []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitMetric waits until every node shows the line.
func awaitMetric(t *testing.T, c *nodetest.Cluster, line string) {
	t.Helper()
	for i := range c.Size() {
		c.Await(fmt.Sprintf("%q at node %d", line, i), func() error {
			if !strings.Contains(metricsPage(t, c, i), "\n"+line+"\n") {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// TestKeyRotationUnderLoad: keys go from old over both to new while agents send without a pause; no submission fails.
func TestKeyRotationUnderLoad(t *testing.T) {
	dir := t.TempDir()
	file := func(id string) keyFile { return keyFile(filepath.Join(dir, id)) }
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		f := file(cfg.NodeID)
		f.write(t, "the-old-key")
		cfg.Keys = []verify.Key{hmacKey(t, "the-old-key")}
		cfg.KeyPoll, cfg.RereadKeys = 20*time.Millisecond, f.read
	})
	writeAll := func(keys ...string) {
		for i := range c.Size() {
			file(c.Config(i).NodeID).write(t, keys...)
		}
	}
	f := nodetest.NewRecords(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var good, bad atomic.Int64
	var key atomic.Value
	key.Store("the-old-key")
	for w := range 6 {
		cl, url := c.HTTPFrom("127.0.0.1"), c.URL(w%3)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body := f.Sign(nodetest.Record{
					Shard: fmt.Sprint(w),
					Epoch: int64(i),
					Root:  "r",
					Key:   key.Load().(string),
				})
				if status, _ := postFrom(t, cl, url, body); status == http.StatusOK {
					good.Add(1)
				} else {
					bad.Add(1)
					t.Errorf("status %d, signed with %s", status, key.Load())
				}
			}
		})
	}
	more := func() {
		from := good.Load()
		c.Await("more submissions", func() error {
			if good.Load() < from+100 {
				return fmt.Errorf("%d", good.Load()-from)
			}
			return nil
		})
	}
	more()
	writeAll("the-old-key", "the-new-key")
	awaitMetric(t, c, "flk_keys 2")
	for i := range c.Size() {
		c.AwaitReady(i) // the new key is in the ledger
	}
	key.Store("the-new-key")
	more()
	if _, err := c.Client.RetireKey(ctx, hmacKey(t, "the-old-key").ID, wire.Op{Reason: "rotation"}); err != nil {
		t.Fatal(err)
	}
	writeAll("the-new-key")
	awaitMetric(t, c, "flk_keys 1")
	more()
	cancel()
	wg.Wait()
	t.Logf("%d submissions, %d failed", good.Load(), bad.Load())
	for i := range c.Size() {
		old := f.Sign(nodetest.Record{Shard: "late", Epoch: int64(i), Root: "r", Key: "the-old-key"})
		if status, _ := postFrom(t, c.HTTPFrom("127.0.0.1"), c.URL(i), old); status != http.StatusUnauthorized {
			t.Errorf("node %d takes the old key: %d", i, status)
		}
	}
	c.Check()
}

// TestKeyFilesThatCannotBeUsed: the keys of before stay, and neither half a key nor none at all is ever taken over.
func TestKeyFilesThatCannotBeUsed(t *testing.T) {
	path := keyFile(filepath.Join(t.TempDir(), "keys"))
	path.write(t, "first")
	var torn atomic.Bool
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Keys = []verify.Key{hmacKey(t, "first")}
		cfg.KeyPoll = 10 * time.Millisecond
		cfg.RereadKeys = func() ([]verify.Key, error) {
			keys, err := path.read()
			if len(keys) > 0 && torn.CompareAndSwap(true, false) { // what a reader sees while "second" is written
				return append(keys[:1:1], hmacKey(t, "sec")), nil
			}
			return keys, err
		}
	})
	path.write(t)
	awaitMetric(t, c, "flk_key_files_failed 1")
	path.write(t, "first")
	awaitMetric(t, c, "flk_key_files_failed 0")
	if err := os.Chmod(string(path), 0o644); err != nil {
		t.Fatal(err)
	}
	awaitMetric(t, c, "flk_key_files_failed 1")
	f := nodetest.NewRecords(t)
	if status, _ := postFrom(t, c.HTTPFrom("127.0.0.1"), c.URL(0),
		f.Sign(nodetest.Record{Shard: "s", Root: "r", Key: "first"})); status != http.StatusOK {
		t.Errorf("the key of before: %d", status)
	}
	torn.Store(true)
	if err := os.Chmod(string(path), 0o600); err != nil {
		t.Fatal(err)
	}
	path.write(t, "first", "second")
	awaitMetric(t, c, "flk_keys 2")
	c.AwaitReady(0)
	added := map[string]bool{}
	for seq := range digest(t, c).Seq {
		ev, err := c.At(0).Event(t.Context(), seq+1, client.Read{})
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == "key_added" {
			added[fmt.Sprint(ev.Summary)] = true
		}
	}
	if torn.Load() || len(added) != 2 || strings.Contains(fmt.Sprint(added), hmacKey(t, "sec").ID) {
		t.Errorf("keys in the ledger: %v", added)
	}
}
