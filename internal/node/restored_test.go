package node_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
)

// restored founds the cluster "second" with a backup of another one, and runs it. Nodes that are added get certificates of it.
func restored(t *testing.T, from *nodetest.Cluster, tune ...func(*node.Config)) (*nodetest.Cluster, *backup.Manifest) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	target, err := backup.CreateDir(t.TempDir())
	must(err)
	m, err := backup.Create(t.Context(), backup.Options{Target: target, Source: client.CopiesOf(from.Client, 0),
		Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Tool: "test", At: time.Now()})
	must(err)
	peer, dir := nodetest.FreePort(t), t.TempDir()
	_, err = restore.Restore(t.Context(), restore.Options{Target: target, Manifest: m, Dir: filepath.Join(dir, "data"),
		ClusterID: "second", NodeID: "second-1", PeerAddr: peer, Actor: "alice", Reason: "test", At: time.Now(),
		Tell: func(string, uint64, uint64) {}})
	must(err)
	ca, err := certs.NewCA("second")
	must(err)
	must(ca.Save(dir, "ca"))
	return nodetest.Start(t, 1, append(tune, func(cfg *node.Config) {
		cfg.NewCluster, cfg.ClusterID = false, "second"
		if !cfg.Join {
			cfg.Dir, cfg.NodeID, cfg.Peer.Listen = filepath.Join(dir, "data"), "second-1", peer
			cfg.Voters = []node.Voter{{ID: "second-1", API: cfg.Voters[0].API, Peer: peer}}
		}
		cert, key, err := ca.Issue(certs.Request{CommonName: cfg.NodeID, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			URIs: []string{"recount://second/node/" + cfg.NodeID}, Client: true, Server: true})
		must(err)
		must(certs.WritePair(dir, cfg.NodeID, cert, key))
		cfg.Peer = node.Listener{Listen: cfg.Peer.Listen, Cert: filepath.Join(dir, cfg.NodeID+".crt"),
			Key: filepath.Join(dir, cfg.NodeID+".key"), CA: filepath.Join(dir, "ca.crt")}
	})...), m
}

// TestRestoredClusterGrows adds a node to a restored cluster and makes it a voter. It gets the whole log, the entries of the
// first cluster too, and may be stopped among them. Ids of the first cluster are refused.
func TestRestoredClusterGrows(t *testing.T) {
	first := nodetest.Start(t, 3)
	l := startLoad(t, first, nodetest.NewRecords(t), 2)
	l.await(60)
	l.end()
	c, m := restored(t, first)
	lead := c.Node(0).Cluster()
	for _, used := range []string{"node-1", "node-3"} {
		if err := lead.AddLearner(t.Context(), used, "127.0.0.1:1"); err == nil {
			t.Errorf("%s was added, an id of the first cluster", used)
		}
	}
	i := c.Grow("second-2")
	id, peer := c.Place(i)
	c.Await("the new node", func() error { return lead.AddLearner(t.Context(), id, peer) })
	c.AwaitReady(i)
	tries := 0
	c.Await("the promotion", func() error {
		err := lead.Promote(t.Context(), id)
		if tries++; errors.Is(err, cluster.ErrNotCaughtUp) && tries%20 == 0 {
			for i := range c.Size() { // ten seconds pass at once
				c.Sleep(i, time.Duration(tries/20)*11*time.Second)
			}
		}
		return err
	})
	l = startLoad(t, c, nodetest.NewRecords(t), 2)
	l.await(20)
	l.end()
	for i := range c.Size() {
		d, err := c.At(i).Digest(t.Context(), m.Position.Seq)
		if err != nil || d.Log != m.Digest.Log || d.State != m.Digest.State || d.Control != m.Digest.Control {
			t.Errorf("node %d: %+v %v, the backup has %+v", i, d, err, m.Digest)
		}
	}
	c.Check()
	c.Stop(i)
	stoppedAmongOldEntries(t, c.Config(i), m.Position.Index-5)
	c.Restart(i)
	c.AwaitReady(i)
}

// stoppedAmongOldEntries opens a node as it would have been if it had been stopped while it got the entries of the first
// cluster. The first entry that names it, and the new name of the ledger, are still to come.
func stoppedAmongOldEntries(t *testing.T, cfg node.Config, index uint64) {
	t.Helper()
	dir := t.TempDir()
	var errs []error
	for _, name := range []string{"events", "stable"} {
		errs = append(errs, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(cfg.Dir, name))))
	}
	id, err := os.ReadFile(filepath.Join(cfg.Dir, node.IdentityFile))
	errs = append(errs, err, os.WriteFile(filepath.Join(dir, node.IdentityFile), id, 0o600),
		log.Trim(filepath.Join(dir, "events"), index, log.Options{}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	cfg.Dir = dir
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n, err := node.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(ctx); err != nil {
		t.Error(err)
	}
}
