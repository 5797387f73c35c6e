package node_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
)

// restoredAt restores a backup of c as the cluster "second", whose only node has this peer address. It returns the
// directory of the node.
func restoredAt(t *testing.T, c *nodetest.Cluster, peer string) string {
	t.Helper()
	target, err := backup.CreateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.Create(t.Context(), backup.Options{Target: target, Source: client.CopiesOf(c.Client, 0),
		Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Tool: "test", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	_, err = restore.Restore(t.Context(), restore.Options{Target: target, Manifest: m, Dir: dir, ClusterID: "second",
		NodeID: "second-1", PeerAddr: peer, Actor: "alice", Reason: "test", At: time.Now(), Tell: func(string, uint64, uint64) {}})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRestoredBesideItsOriginal starts a restored backup at the peer address of a node of its original, with a certificate
// of the same authority. The others of the original refuse to talk to it, both ledgers go on, and nothing gets from
// one to the other. While the node of the original runs, the restored one does not start and says why.
func TestRestoredBesideItsOriginal(t *testing.T) {
	c, f := nodetest.Start(t, 3), nodetest.NewRecords(t)
	l := startLoad(t, c, f, 2)
	l.await(40)
	peer := c.Config(2).Peer.Listen
	dir := restoredAt(t, c, peer)
	c.Stop(2)
	second := c.Take(dir, "second", "second-1", peer)
	l.await(40)
	ours := f.Sign(nodetest.Record{Shard: "second", Epoch: 1, Root: "r"})
	if _, err := second.Client.Submit(t.Context(), ours); err != nil {
		t.Errorf("the restored ledger: %v", err)
	}
	c.Await("the refusal of the restored node", func() error {
		if !strings.Contains(c.Logs(), `certificate \"second-1\" names no member of cluster`) {
			return errors.New("none is in the log of the others")
		}
		return nil
	})
	second.Stop(0)
	c.Restart(2)
	c.AwaitReady(2)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if n, err := node.Open(ctx, second.Config(0), slog.New(slog.DiscardHandler)); err == nil {
		_ = n.Close(ctx)
		t.Error("two nodes have one address")
	} else if !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), peer) {
		t.Errorf("a start at an address in use: %v", err)
	}
	l.await(20)
	l.end()
	c.Check()
}
