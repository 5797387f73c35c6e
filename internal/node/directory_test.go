package node_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// refused opens a node that must not start.
func refused(t *testing.T, what string, cfg node.Config, want error) {
	t.Helper()
	n, err := node.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
	if err == nil {
		_ = n.Close(t.Context())
	}
}

// TestDirectoryOfAnotherNode: a directory that is empty, in use, another node's or another cluster's starts no node.
func TestDirectoryOfAnotherNode(t *testing.T) {
	c := nodetest.Start(t, 1)
	cfg := c.Config(0)
	refused(t, "a second process on one directory", cfg, log.ErrInUse)
	c.Stop(0)
	other := cfg
	other.NodeID, other.Voters = "node-2", append([]node.Voter(nil), cfg.Voters...)
	other.Voters[0].ID = "node-2"
	refused(t, "another node's directory", other, cluster.ErrForeignDirectory)
	other = cfg
	other.ClusterID = "other"
	refused(t, "another cluster's directory", other, cluster.ErrForeignDirectory)
	rename(t, filepath.Join(cfg.Dir, cluster.IdentityFile), "other")
	refused(t, "another cluster's log", other, cluster.ErrForeignDirectory)
	empty := cfg
	empty.Dir, empty.NewCluster = t.TempDir(), false
	refused(t, "an empty directory", empty, cluster.ErrEmptyDirectory)
}

// rename makes the identity say another cluster.
func rename(t *testing.T, path, clusterID string) {
	t.Helper()
	var id struct {
		Format      int       `json:"format"`
		ClusterID   string    `json:"cluster_id"`
		NodeID      string    `json:"node_id"`
		Incarnation string    `json:"incarnation"`
		Created     time.Time `json:"created"`
		Sum         string    `json:"sum"`
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	id.ClusterID, id.Sum = clusterID, ""
	raw, _ = json.Marshal(id)
	sum := sha256.Sum256(raw)
	id.Sum = hex.EncodeToString(sum[:])
	raw, _ = json.Marshal(id)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
