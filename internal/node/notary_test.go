package node_test

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// checkpointKey writes a file with a new key for the checkpoints of a cluster.
func checkpointKey(t *testing.T, clusterID string) (path, text string, key evidence.PublicKey) {
	t.Helper()
	text, secret, err := evidence.NewSecretKey(evidence.OriginOf(clusterID))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "checkpoint.key")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text, secret.Public()
}

// auditor reads evidence from the nodes of a cluster and keeps all checkpoints that it saw.
type auditor struct {
	t    *testing.T
	c    *nodetest.Cluster
	keys []evidence.PublicKey
	seen []evidence.Checkpoint
}

func (a *auditor) get(i int, path string) (status int, body []byte) {
	a.t.Helper()
	resp, err := a.c.HTTPFrom("127.0.0.1").Get(a.c.URL(i) + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// checkpoint reads the checkpoint of node i and checks it, also against the one that was seen before: one of them is a
// beginning of the other.
func (a *auditor) checkpoint(i int) (evidence.Checkpoint, error) {
	a.t.Helper()
	status, body := a.get(i, "/checkpoint")
	if status != http.StatusOK {
		return evidence.Checkpoint{}, fmt.Errorf("%d: %s", status, body)
	}
	c, _, err := evidence.OpenCheckpoint(body, a.keys...)
	if err != nil {
		a.t.Fatal(err)
	}
	if n := len(a.seen); n > 0 {
		a.consistent(i, a.seen[n-1], c)
	}
	a.seen = append(a.seen, c)
	return c, nil
}

func (a *auditor) consistent(i int, x, y evidence.Checkpoint) {
	a.t.Helper()
	if x.Size > y.Size {
		x, y = y, x
	}
	p, err := client.EvidenceOf(a.c.At(i)).Consistency(a.t.Context(), x.Size, y.Size)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := evidence.CheckConsistency(x.Size, y.Size, x.Root, y.Root, a.hashes(p.Hashes)); err != nil {
		a.t.Fatalf("checkpoints of %d and %d events: %v", x.Size, y.Size, err)
	}
	hasher, list := rfc6962.New(crypto.SHA256), [][]byte(nil)
	for _, h := range a.hashes(p.Hashes) {
		list = append(list, h[:])
	}
	if err := proof.VerifyConsistency(hasher, x.Size, y.Size, list, x.Root[:], y.Root[:]); err != nil {
		a.t.Fatal(err)
	}
}

func (a *auditor) hashes(texts []string) (out [][32]byte) {
	a.t.Helper()
	for _, text := range texts {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			a.t.Fatalf("hash %q", text)
		}
		out = append(out, [32]byte(b))
	}
	return out
}

// awaitSize waits until the checkpoint of node i has at least size events.
func (a *auditor) awaitSize(i int, size uint64) (c evidence.Checkpoint) {
	a.t.Helper()
	a.c.Await(fmt.Sprintf("a checkpoint of %d events", size), func() (err error) {
		if c, err = a.checkpoint(i); err == nil && c.Size < size {
			err = fmt.Errorf("%d of %d events", c.Size, size)
		}
		return err
	})
	return c
}

// downloaded makes the tree again from the bundles of node i, with another library, and compares it with the checkpoint
// and the tiles of level 0.
func (a *auditor) downloaded(i int, c evidence.Checkpoint) {
	a.t.Helper()
	tree := testonly.New(rfc6962.New(crypto.SHA256))
	for n := uint64(0); n*256 < c.Size; n++ {
		name := fmt.Sprintf("%03d", n)
		if width := c.Size - n*256; width < 256 {
			name += fmt.Sprintf(".p/%d", width)
		}
		status, bundle := a.get(i, "/tile/entries/"+name)
		if status != http.StatusOK {
			a.t.Fatalf("bundle %s: %d %s", name, status, bundle)
		}
		var level []byte
		for at := 0; at < len(bundle); {
			size := int(binary.BigEndian.Uint16(bundle[at:]))
			leaf, err := evidence.ParseLeaf(bundle[at+2 : at+2+size])
			if err != nil || leaf.Seq != tree.Size()+1 {
				a.t.Fatalf("leaf %d: %+v, %v", tree.Size(), leaf, err)
			}
			tree.AppendData(bundle[at+2 : at+2+size])
			level, at = append(level, tree.LeafHash(leaf.Seq-1)...), at+2+size
		}
		if status, tile := a.get(i, "/tile/0/"+name); status != http.StatusOK || !bytes.Equal(tile, level) {
			a.t.Fatalf("tile %s: %d, %d bytes", name, status, len(tile))
		}
	}
	if tree.Size() != c.Size || !bytes.Equal(tree.Hash(), c.Root[:]) {
		a.t.Fatalf("the bundles give %d events with root %x, the checkpoint says %d with %x", tree.Size(), tree.Hash(),
			c.Size, c.Root)
	}
	p, err := client.EvidenceOf(a.c.At(i)).Inclusion(a.t.Context(), c.Size/2, c.Size)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := [32]byte(tree.LeafHash(c.Size/2 - 1))
	if err := evidence.CheckInclusion(c.Size/2-1, c.Size, leaf, c.Root, a.hashes(p.Hashes)); err != nil {
		a.t.Fatal(err)
	}
}

// TestCheckpoints: the notes of all nodes are of one tree, under load, over a change of the leader and when all nodes were
// down. A node without the key gives out no evidence.
func TestCheckpoints(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		if cfg.NodeID != "node-3" {
			cfg.CheckpointKeyFile = path
		}
	})
	a := &auditor{t: t, c: c, keys: []evidence.PublicKey{key}}
	load := startLoad(t, c, nodetest.NewRecords(t), 4)
	for range 20 {
		load.await(20)
		for i := range 2 {
			a.awaitSize(i, 1)
		}
	}
	first := c.Leader()
	c.Stop(first)
	load.await(100)
	load.end()
	c.Restart(first)
	c.AwaitReady(first)
	for i := range 2 {
		a.downloaded(i, a.awaitSize(i, uint64(load.answered.Load())))
		note, err := client.EvidenceOf(c.At(i)).Checkpoint(t.Context())
		if _, _, bad := evidence.OpenCheckpoint(note, key); err != nil || bad != nil {
			t.Errorf("%s, %v, %v", note, err, bad)
		}
	}
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1",
		"/v1/log/proof/inclusion?seq=1&size=2", "/v1/pcs/" + strings.Repeat("0", 64) + "/receipt"} {
		status, body := a.get(2, path)
		if status != http.StatusNotFound || !strings.Contains(string(body), "checkpoint_key_file") {
			t.Errorf("without a key: %s: %d %s", path, status, body)
		}
	}
	last := a.seen[len(a.seen)-1]
	for i := range 3 {
		c.Stop(i)
	}
	for i := range 3 {
		c.Restart(i)
	}
	for i := range 3 {
		c.AwaitReady(i)
	}
	for i := range 2 {
		a.downloaded(i, last)
	}
	a.awaitSize(0, last.Size+1) // a new term has an event of its own
	t.Logf("%d checkpoints of %d events, all consistent", len(a.seen), a.seen[len(a.seen)-1].Size)
}

// TestCheckpointFollows: the newest event is in a checkpoint within a second.
func TestCheckpointFollows(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	a := &auditor{t: t, c: c, keys: []evidence.PublicKey{key}}
	a.awaitSize(0, 1)
	records, slowest := nodetest.NewRecords(t), time.Duration(0)
	for i := range 5 {
		body := records.Sign(nodetest.Record{Shard: "s", Epoch: int64(i), Root: "r"})
		r, err := c.Client.Submit(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a.awaitSize(0, r.Seq)
		slowest = max(slowest, time.Since(start))
	}
	if t.Logf("at most %s behind", slowest); slowest > time.Second {
		t.Errorf("a checkpoint is %s behind", slowest)
	}
}

// TestNoCheckpointWithoutAMajority: a node that nobody confirms signs nothing, whatever it holds. It gives proofs.
func TestNoCheckpointWithoutAMajority(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	a := &auditor{t: t, c: c, keys: []evidence.PublicKey{key}}
	before := a.awaitSize(0, 1)
	for i := range 3 {
		c.Stop(i)
	}
	c.Restart(0)
	c.Await("the node alone could not sign", func() error {
		if !strings.Contains(metricsPage(t, c, 0), "\nflk_checkpoints_total{result=\"unsigned\"} 0\n") {
			return nil
		}
		return errors.New("it has not tried")
	})
	if status, body := a.get(0, "/checkpoint"); status != http.StatusServiceUnavailable {
		t.Errorf("alone: %d %s", status, body)
	}
	if signed := metricOf(t, c, `flk_checkpoints_total{result="signed"}`); signed != 0 {
		t.Errorf("alone it signed %v", signed)
	}
	a.consistent(0, before, before)
	c.Restart(1)
	a.awaitSize(0, before.Size)
}

// TestCheckpointKeysChange: a key that is added to the file signs soon, beside the one before, without a restart.
func TestCheckpointKeysChange(t *testing.T) {
	path, before, old := checkpointKey(t, "nodetest")
	_, after, next := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.CheckpointKeyFile, cfg.KeyPoll = path, 10*time.Millisecond
	})
	signs := func(want ...evidence.PublicKey) {
		t.Helper()
		c.Await("the keys sign", func() error {
			_, body := (&auditor{t: t, c: c}).get(0, "/checkpoint")
			_, by, err := evidence.OpenCheckpoint(body, old, next)
			if err == nil && fmt.Sprint(by) != fmt.Sprint(want) {
				err = fmt.Errorf("signed by %v", by)
			}
			return err
		})
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signs(old)
	write(before + "\n" + after + "\n")
	signs(old, next)
	write("no key")
	awaitMetric(t, c, "flk_checkpoint_key_file_failed 1")
	signs(old, next)
	write(after + "\n")
	signs(next)
	awaitMetric(t, c, "flk_checkpoint_key_file_failed 0")
}

// TestCheckpointsOfARestoredLedger: a ledger that was restored has another origin, and the key of the one before is
// refused there.
func TestCheckpointsOfARestoredLedger(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	first := (&auditor{t: t, c: c, keys: []evidence.PublicKey{key}}).awaitSize(0, 1)
	second, _, next := checkpointKey(t, "second")
	r, _ := restored(t, c, func(cfg *node.Config) { cfg.CheckpointKeyFile = second })
	got := (&auditor{t: t, c: r, keys: []evidence.PublicKey{next}}).awaitSize(0, first.Size)
	if first.Origin != "recount/nodetest" || got.Origin != "recount/second" {
		t.Errorf("origins %q and %q", first.Origin, got.Origin)
	}
	r.Stop(0)
	r.Tune(0, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	_, err := node.Open(t.Context(), r.Config(0), slog.New(slog.DiscardHandler))
	if !errors.Is(err, evidence.ErrSignature) || !strings.Contains(err.Error(), "another ledger") {
		t.Errorf("with the key of the ledger before: %v", err)
	}
}

// TestReceipts: records get receipts within a second, also those that were refused, and each says what the answer said.
func TestReceipts(t *testing.T) {
	path, _, key := checkpointKey(t, "nodetest")
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.CheckpointKeyFile = path })
	records := nodetest.NewRecords(t)
	check := func(text []byte) evidence.Checked {
		t.Helper()
		r, err := evidence.ParseReceipt(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		checked, err := r.Check(key)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return checked
	}
	for name, x := range map[string]struct {
		body    []byte
		outcome string
	}{
		"accepted":  {records.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}), "accepted"},
		"escalated": {records.Sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r", Wrong: true}), "escalated"},
		"forged":    {records.Sign(nodetest.Record{Shard: "c", Epoch: 1, Root: "r", Forged: true}), "refused"},
		"conflict":  {records.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Near: true}), "conflict"},
	} {
		if name == "conflict" { // needs the accepted one before it
			if _, err := c.Client.Submit(t.Context(), records.Sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})); err != nil {
				t.Fatal(err)
			}
		}
		id, seq, receipt := submitAndWait(t, c, x.body)
		o := check([]byte(receipt)).Outcome
		if o.Seq != seq || o.PCSID != id || o.Outcome.String() != x.outcome {
			t.Errorf("%s: event %d, %q: %+v", name, seq, id, o)
		}
		again, err := client.EvidenceOf(c.At(1)).Receipt(t.Context(), id, seq)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if same := check(again).Outcome; same.Seq != seq || same.Outcome != o.Outcome {
			t.Errorf("%s: %+v", name, same)
		}
	}
}

// submitAndWait submits a record with Prefer: wait and returns the id and event of the answer, or of its problem, and the
// receipt in it.
func submitAndWait(t *testing.T, c *nodetest.Cluster, body []byte) (id string, seq uint64, receipt string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL(0)+client.SubmitPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait")
	resp, err := c.HTTPFrom("127.0.0.1").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		PCSID   string `json:"pcs_id"`
		Seq     uint64
		Receipt string
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Receipt == "" ||
		resp.Header.Get("Preference-Applied") != "wait" {
		t.Fatalf("%d: %+v, %v", resp.StatusCode, a, err)
	}
	return a.PCSID, a.Seq, a.Receipt
}
