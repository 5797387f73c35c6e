package node_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/witness"
	"github.com/recount-ledger/recount/wire"
)

// outside is a witness of a cluster.
type outside struct {
	t        *testing.T
	dir      string
	file     string // the witness_file of the nodes
	key      evidence.WitnessKey
	cosigned atomic.Int32
}

func startOutside(t *testing.T, trusted ...evidence.PublicKey) *outside {
	t.Helper()
	_, secret, err := evidence.NewWitnessSecret("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{t: t, dir: t.TempDir(), key: secret.Public()}
	w, err := witness.Open(witness.Options{Dir: o.dir, Secrets: []evidence.WitnessSecret{secret}, Now: time.Now,
		Ledgers: func() []evidence.PublicKey { return trusted }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handler := w.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen := &statusOf{ResponseWriter: rw, code: http.StatusOK}
		if handler.ServeHTTP(seen, r); seen.code == http.StatusOK {
			o.cosigned.Add(1)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	o.file = filepath.Join(t.TempDir(), "witnesses")
	text := fmt.Sprintf("witness w %s %s\nquorum w\n", o.key, server.URL)
	if err := os.WriteFile(o.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// statusOf remembers the status of a response.
type statusOf struct {
	http.ResponseWriter
	code int
}

func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// seen returns what the witness has on its disk.
func (o *outside) seen() witness.Seen {
	o.t.Helper()
	list, err := witness.List(o.dir, o.key)
	if err != nil || len(list) != 1 {
		o.t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

// follows waits until node i shows a checkpoint with everything that it has now, cosigned by the witness.
func (o *outside) follows(what string, c *nodetest.Cluster, i int, trusted evidence.PublicKey) uint64 {
	o.t.Helper()
	page, err := c.At(i).AuditPage(o.t.Context(), client.AuditQuery{Limit: 1})
	if err != nil {
		o.t.Fatal(err)
	}
	var got evidence.Checkpoint
	c.Await(what+": a cosigned checkpoint", func() error {
		note, err := client.EvidenceOf(c.At(i)).Checkpoint(o.t.Context())
		if err != nil {
			return err
		}
		if got, _, err = evidence.OpenCheckpoint(note, trusted); err != nil {
			o.t.Fatal(err)
		}
		list, err := evidence.Cosignatures(note, o.key)
		if err == nil && (len(list) == 0 || got.Size < page.AppliedSeq) {
			err = fmt.Errorf("%d of %d events with %d cosignatures", got.Size, page.AppliedSeq, len(list))
		}
		return err
	})
	return got.Size
}

// TestWitnessOverFaults: a witness cosigns the checkpoints of all nodes over a change of the leader, a recount, its
// activation, a rollback, a node that is replaced and the end of all nodes. It never sees a contradiction.
func TestWitnessOverFaults(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	o := startOutside(t, key)
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.CheckpointKeyFile, cfg.WitnessFile = path, o.file })
	load := startLoad(t, c, nodetest.NewRecords(t), 2)
	all := func(what string) {
		t.Helper()
		load.await(20)
		for i := range c.Size() {
			if size := o.follows(what, c, i, key); o.seen().Size < size {
				t.Errorf("%s: the witness has %d events, a node shows %d", what, o.seen().Size, size)
			}
		}
	}
	all("at first")
	first := c.Leader()
	c.Stop(first)
	load.await(20)
	c.Restart(first)
	c.AwaitReady(first)
	all("another leader")
	r := newRecounter(t, c)
	number := r.start(r.publish(laxPolicy))
	r.activate(number, r.diff(number).Digest)
	all("an activation")
	if _, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{}); err != nil {
		t.Fatal(err)
	}
	all("a rollback")
	lost := (c.Leader() + 1) % 3
	replaceNode(t, c, lost)
	all("a replaced node")
	load.end()
	for i := range c.Size() {
		c.Stop(i)
	}
	for i := range c.Size() {
		c.Restart(i)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
		o.follows("after a stop of all", c, i, key)
	}
	s := o.seen()
	if s.Forks+s.Unproven != 0 || o.cosigned.Load() < 20 {
		t.Errorf("%+v, %d cosigned", s, o.cosigned.Load())
	}
	t.Logf("%d checkpoints up to %d events cosigned, no contradiction", o.cosigned.Load(), s.Size)
}

// replaceNode takes a node out of the cluster and adds another one.
func replaceNode(t *testing.T, c *nodetest.Cluster, lost int) {
	t.Helper()
	lostID, _ := c.Place(lost)
	c.Forget(lost)
	if _, err := client.MembersOf(c.Client).Remove(t.Context(), lostID, wire.Op{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	_, err := client.MembersOf(c.Client).Add(t.Context(), wire.MemberRequest{Op: wire.Op{Reason: "test"}, NodeID: id,
		PeerAddress: peer, APIAddress: c.URL(i)})
	if err != nil {
		t.Fatal(err)
	}
	c.AwaitReady(i)
	promote(t, c, id)
}

// TestForkIsCaught: a copy of the directory that goes on under the old origin, with its own records, is refused by the
// witness, which keeps both checkpoints. The node tells, and still serves.
func TestForkIsCaught(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	o := startOutside(t, key)
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CheckpointKeyFile, cfg.WitnessFile = path, o.file })
	records := nodetest.NewRecords(t)
	submit := func(shard string, n int) {
		t.Helper()
		for i := range n {
			if _, err := c.Client.Submit(t.Context(), records.Sign(nodetest.Record{Shard: shard, Epoch: int64(i), Root: "r"})); err != nil {
				t.Fatal(err)
			}
		}
	}
	submit("both", 5)
	o.follows("before the copy", c, 0, key)
	c.Stop(0)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(c.Dir(0))); err != nil {
		t.Fatal(err)
	}
	c.Restart(0)
	c.AwaitReady(0)
	submit("one", 3)
	size := o.follows("the first ledger", c, 0, key)
	c.Stop(0)
	c.Tune(0, func(cfg *node.Config) { cfg.Dir = copied })
	c.Restart(0)
	c.AwaitReady(0)
	submit("two", 9)
	c.Await("the witness refuses", func() error {
		if metricOf(t, c, `flk_cosignature_requests_total{result="refused"}`) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	s := o.seen()
	if s.Size != size || s.Forks+s.Unproven == 0 {
		t.Errorf("the witness has %+v, the first ledger %d events", s, size)
	}
	for _, f := range s.Files {
		fork, err := witness.ReadFork(f.Path)
		if err != nil || f.Proven && fork.Check(key) != nil {
			t.Errorf("%+v: %v, %v", f, err, fork.Check(key))
		}
	}
	if status, body := (&auditor{t: t, c: c}).get(0, "/checkpoint"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}
