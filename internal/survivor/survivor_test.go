package survivor_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/survivor"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet(string, uint64, uint64) {}

func look(t *testing.T, dir string) survivor.Report {
	t.Helper()
	r, err := survivor.Look(t.Context(), dir, quiet)
	must(t, err)
	return *r
}

// tree returns the names and the bytes of all files below dir.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all.WriteString(path + "\x00" + string(b))
		return err
	}))
	return all.String()
}

// TestLook compares the reports of three stopped nodes with what they said while they ran. The one that was away
// for a while has a beginning of the log of the others.
func TestLook(t *testing.T) {
	c, ctx := nodetest.Start(t, 3), t.Context()
	f := nodetest.NewRecords(t)
	submit := func(from, n int64) {
		for i := range n {
			_, err := c.Client.Submit(ctx, f.Sign(nodetest.Record{Shard: "s", Epoch: from + i, Root: "r"}))
			must(t, err)
		}
	}
	submit(1, 20)
	if _, err := survivor.Look(ctx, c.Dir(0), quiet); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("a node that runs: %v", err)
	}
	c.Stop(2)
	submit(100, 20)
	digest, err := c.Client.Digest(ctx, 0)
	must(t, err)
	c.Stop(0)
	c.Stop(1)
	before := tree(t, c.Dir(0))
	reports := []survivor.Report{look(t, c.Dir(2)), look(t, c.Dir(0)), look(t, c.Dir(1))}
	if tree(t, c.Dir(0)) != before {
		t.Error("the directory has changed")
	}
	first := reports[1]
	if first.NodeID != "node-1" || first.ClusterID != "nodetest" || len(first.Members) != 3 || !first.Members[2].Voter ||
		first.Floor.Seq < digest.Seq || first.Last.Index < first.Floor.Index || first.HeardFrom == "" {
		t.Errorf("%+v, the digest is %+v", first, digest)
	}
	if first.Floor.Seq == digest.Seq && first.Floor.Log != digest.Log {
		t.Errorf("the digest is %s, was %s", first.Floor.Log, digest.Log)
	}
	must(t, os.RemoveAll(filepath.Join(c.Dir(0), "derived")))
	again := look(t, c.Dir(0))
	if again.Last != first.Last || !reflect.DeepEqual(again.Runs, first.Runs) || again.Floor.Index > first.Floor.Index {
		t.Errorf("folded again: %+v, was %+v", again, first)
	}
	compared, err := survivor.Compare(reports)
	must(t, err)
	if !compared.Majority || compared.Keep == "node-3" || len(compared.Words()) != 2 {
		t.Errorf("%+v", compared)
	}
	for _, r := range compared.Survivors {
		if !r.Prefix {
			t.Errorf("%s has other entries behind %d", r.NodeID, r.Common)
		}
	}
	compared, err = survivor.Compare(reports[:1])
	must(t, err)
	if compared.Majority || compared.Keep != "node-3" || compared.Voters != 3 || compared.Alive != 1 ||
		!strings.Contains(strings.Join(compared.Words(), "\n"), "1 of 3 voters are left") {
		t.Errorf("%+v %q", compared, compared.Words())
	}
}

// TestLookRefuses: no node, and damage of each kind.
func TestLookRefuses(t *testing.T) {
	c, ctx := nodetest.Start(t, 1), t.Context()
	f := nodetest.NewRecords(t)
	for i := range int64(30) {
		_, err := c.Client.Submit(ctx, f.Sign(nodetest.Record{Shard: "s", Epoch: i + 1, Root: "r"}))
		must(t, err)
	}
	c.Stop(0)
	c.Restart(0) // what was in the write-ahead log is in a table now
	c.AwaitReady(0)
	c.Stop(0)
	dir := c.Dir(0)
	if _, err := survivor.Look(ctx, t.TempDir(), quiet); !errors.Is(err, survivor.ErrNoNode) {
		t.Errorf("an empty directory: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := survivor.Look(gone, dir, quiet); !errors.Is(err, context.Canceled) || errors.Is(err, survivor.ErrDamaged) {
		t.Errorf("interrupted: %v", err)
	}
	if r := look(t, dir); r.Last.Seq < 30 {
		t.Errorf("%+v", r)
	}
	for name, path := range map[string]string{"table": c.LargestTable(0, "events"), "identity": filepath.Join(dir, "node.json")} {
		whole, err := os.ReadFile(path)
		must(t, err)
		c.FlipBit(path, 0.3)
		if _, err := survivor.Look(ctx, dir, quiet); err == nil || name == "table" && !errors.Is(err, survivor.ErrDamaged) {
			t.Errorf("a damaged %s: %v", name, err)
		}
		must(t, os.WriteFile(path, whole, 0o600))
	}
	left, err := filepath.Glob(filepath.Join(dir, "survivor-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
