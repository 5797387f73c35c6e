package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// TestDirectories: a node starts on the directory that it has always had, and on an empty one only when the operator says that
// the cluster is new.
func TestDirectories(t *testing.T) {
	entry := &raft.Log{Index: 1, Term: 1}
	for name, c := range map[string]struct {
		change func(b *box, n *node)
		config func(*Config)
		want   error
	}{
		"empty, no word":        {func(*box, *node) {}, func(c *Config) { c.NewCluster = false }, ErrEmptyDirectory},
		"identity without log":  {func(b *box, _ *node) { b.own("n1") }, nil, ErrLostLog},
		"log without identity":  {func(_ *box, n *node) { _ = n.logs.StoreLog(entry) }, nil, ErrInconsistent},
		"another node's":        {func(b *box, n *node) { b.own("n2"); _ = os.Rename(b.nodes["n2"].dir, n.dir) }, nil, ErrForeignDirectory},
		"another cluster's":     {func(b *box, _ *node) { b.own("n1") }, func(c *Config) { c.ClusterID = "other" }, ErrForeignDirectory},
		"damaged identity":      {func(b *box, n *node) { b.own("n1"); flip(b.t, filepath.Join(n.dir, IdentityFile), 60) }, nil, ErrInconsistent},
		"emptied identity":      {func(b *box, n *node) { b.own("n1"); _ = os.Truncate(filepath.Join(n.dir, IdentityFile), 0) }, nil, ErrInconsistent},
		"all gone but the vote": {func(b *box, _ *node) { b.stableOf("n1", map[string]uint64{"CurrentTerm": 4}) }, nil, ErrLostLog},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "n1", "n2", "n3")
			n := b.nodes["n1"]
			c.change(b, n)
			before, _ := n.logs.LastIndex()
			cfg := b.config("n1")
			if c.config != nil {
				c.config(&cfg)
			}
			if _, err := Open(cfg, n.logs, n.fsm, n.fsm); !errors.Is(err, c.want) {
				t.Errorf("Open: %v, want %v", err, c.want)
			}
			if last, _ := n.logs.LastIndex(); last != before {
				t.Error("something was written to the log")
			}
		})
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
