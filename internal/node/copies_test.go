package node_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// awaitCopy waits until a copy of node i is prepared.
func awaitCopy(t *testing.T, c *nodetest.Cluster, i int, id string) (a *wire.CopyAnswer) {
	t.Helper()
	c.Await("the copy is ready", func() (err error) {
		if a, err = client.CopiesOf(c.Client, i).Get(t.Context(), id); err == nil && a.State == wire.CopyPreparing {
			err = errors.New(a.State)
		}
		return err
	})
	return a
}

// TestCopyOfANode makes copies on a follower while records come in. The files, read over the network, are a log that ends
// where the copy says, and the digests are those of the cluster there.
func TestCopyOfANode(t *testing.T) {
	c := nodetest.Start(t, 3)
	load := startLoad(t, c, nodetest.NewRecords(t), 4)
	for round := range 3 {
		at := client.CopiesOf(c.Client, round)
		load.await(100)
		made, err := at.Create(t.Context(), wire.ConsistencyLinearizable)
		if err != nil {
			t.Fatal(err)
		}
		ready := awaitCopy(t, c, round, made.ID)
		if ready.State != wire.CopyReady || ready.Hashed != ready.Bytes {
			t.Fatalf("%+v", ready)
		}
		dir := t.TempDir()
		for _, f := range ready.Files {
			var b bytes.Buffer
			if _, err := at.File(t.Context(), ready.ID, f.Name, 0, &b); err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 || int64(b.Len()) != f.Size {
				t.Errorf("%s: other bytes than the copy says", f.Name)
			}
			if err := os.WriteFile(filepath.Join(dir, f.Name), b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := log.Open(dir, log.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		if last, _ := s.LastIndex(); last != ready.Position.Index {
			t.Errorf("the log ends at %d, the copy at %d", last, ready.Position.Index)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for i := range 3 {
			d, err := c.Client.At(i).Digest(t.Context(), ready.Position.Seq)
			if err != nil || d.Log != ready.Digest.Log || d.State != ready.Digest.State || d.Control != ready.Digest.Control {
				t.Errorf("node %d: %+v %v, the copy has %+v", i, d, err, ready.Digest)
			}
		}
		if err := at.Remove(t.Context(), ready.ID); err != nil {
			t.Error(err)
		}
	}
	load.end()
}

// TestCopiesNeedAnOperator: nobody else may take the log away.
func TestCopiesNeedAnOperator(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CopyRate = 1 << 30 })
	for role, token := range c.Tokens {
		if role == wire.RoleOperator {
			continue
		}
		as, err := client.New(client.Config{Endpoints: c.Client.Endpoints(), CA: c.CA.CertPEM(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CopiesOf(as, 0).Create(t.Context(), wire.ConsistencyLocal); err == nil {
			t.Errorf("%s made a copy", role)
		}
	}
}
