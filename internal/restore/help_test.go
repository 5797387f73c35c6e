package restore_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/wire"
)

var key = ed25519.NewKeyFromSeed(make([]byte, 32))

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet(string, uint64, uint64) {}

// source is a cluster with a ledger, and the target of its backups.
type source struct {
	*nodetest.Cluster
	t       *testing.T
	records *nodetest.Records
	epoch   int64
	target  *backup.Dir
}

func newSource(t *testing.T, nodes int) *source {
	s := &source{Cluster: nodetest.Start(t, nodes), t: t, records: nodetest.NewRecords(t)}
	var err error
	s.target, err = backup.CreateDir(t.TempDir())
	must(t, err)
	return s
}

// submit sends n records, one after the other, and returns the last one and its answer.
func (s *source) submit(n int) (body []byte, last *client.Result) {
	s.t.Helper()
	for range n {
		s.epoch++
		body = s.records.Sign(nodetest.Record{Shard: "a", Epoch: s.epoch, Root: "r", Wrong: s.epoch%4 == 0})
		var err error
		last, err = s.Client.Submit(s.t.Context(), body)
		must(s.t, err)
	}
	return body, last
}

func (s *source) backup(i int) *backup.Manifest {
	s.t.Helper()
	m, err := backup.Create(s.t.Context(), backup.Options{Target: s.target, Source: client.CopiesOf(s.Client, i), Key: key,
		Tool: "test", At: time.Now()})
	must(s.t, err)
	return m
}

// recount activates a generation under which the answers of some records are others, and drops the first one.
func (s *source) recount() {
	s.t.Helper()
	ctx := s.t.Context()
	p, err := s.Client.PublishPolicy(ctx, wire.PolicyRequest{Document: "kernel: 1\nparams: {tol_d: \"100\"}\n"})
	must(s.t, err)
	g, err := s.Client.StartGeneration(ctx, wire.GenerationRequest{Policy: p.ID})
	must(s.t, err)
	s.Await("the generation is ready", func() error {
		page, err := s.Client.Generations(ctx)
		if err == nil && page.Items[len(page.Items)-1].State != wire.GenerationReady {
			err = fmt.Errorf("%+v", page.Items)
		}
		return err
	})
	d, err := s.Client.Diff(ctx, g.Generation, 0)
	must(s.t, err)
	if d.Flips == 0 {
		s.t.Fatal("the policy changes nothing")
	}
	_, err = s.Client.Activate(ctx, g.Generation, wire.ActivateRequest{Diff: d.Digest})
	must(s.t, err)
	s.Await("the first generation is dropped", func() error {
		_, err := s.Client.DropGeneration(ctx, 1, wire.Op{Reason: "test"})
		return err
	})
}

// options restore a backup of the source into a new directory.
func (s *source) options(m *backup.Manifest) restore.Options {
	s.t.Helper()
	return restore.Options{Target: s.target, Manifest: m, Dir: filepath.Join(s.t.TempDir(), "data"), ClusterID: "second",
		NodeID: "second-1", PeerAddr: nodetest.FreePort(s.t), Actor: "alice", Reason: "site a burned down", Ticket: "INC-9",
		At: time.Now(), Tell: quiet}
}

// start runs the restored node.
func start(t *testing.T, r restore.Result) *nodetest.Cluster {
	t.Helper()
	ca, err := certs.NewCA("second")
	must(t, err)
	dir := t.TempDir()
	must(t, ca.Save(dir, "ca"))
	return nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.NewCluster, cfg.ClusterID = false, r.ClusterID
		if !cfg.Join {
			cfg.Dir, cfg.NodeID, cfg.Peer.Listen = r.Dir, r.NodeID, r.PeerAddr
			cfg.Voters = []node.Voter{{ID: r.NodeID, API: cfg.Voters[0].API, Peer: r.PeerAddr}}
		}
		cert, private, err := ca.Issue(certs.Request{CommonName: cfg.NodeID, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			URIs: []string{"recount://" + r.ClusterID + "/node/" + cfg.NodeID}, Client: true, Server: true})
		must(t, err)
		must(t, certs.WritePair(dir, cfg.NodeID, cert, private))
		cfg.Peer = node.Listener{Listen: cfg.Peer.Listen, Cert: filepath.Join(dir, cfg.NodeID+".crt"),
			Key: filepath.Join(dir, cfg.NodeID+".key"), CA: filepath.Join(dir, "ca.crt")}
	})
}

// digestAt compares the digests of a cluster at an event with those of a backup or restore.
func digestAt(t *testing.T, c *nodetest.Cluster, seq uint64, want wire.CopyDigest, state bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := c.Client.Digest(ctx, seq)
	must(t, err)
	if d.Log != want.Log || d.Control != want.Control || state && d.State != want.State {
		t.Errorf("at event %d %+v, want %+v", seq, d, want)
	}
}
