package restore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/survivor"
	"github.com/recount-ledger/recount/wire"
)

// keepOptions keep the log of node i of a cluster.
func keepOptions(t *testing.T, c *nodetest.Cluster, i int) restore.KeepOptions {
	t.Helper()
	return restore.KeepOptions{Dir: c.Dir(i), Into: filepath.Join(t.TempDir(), "data"), ClusterID: "second", NodeID: "second-1",
		PeerAddr: nodetest.FreePort(t), Actor: "alice", Reason: "two disks burned", Ticket: "INC-9", At: time.Now(), Tell: quiet,
		Confirm: func(*survivor.Comparison) error { return nil }}
}

// files returns the names and the bytes of all files of a survivor but for the mark.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == survivor.RecoveredFile {
			return err
		}
		b, err := os.ReadFile(path)
		all.WriteString(path + "\x00" + string(b))
		return err
	}))
	return all.String()
}

// TestKeep loses three of five nodes and goes on with one of the others: same digests and answers, and new
// records. The other survivor comes back under its old name, is refused and keeps its log.
func TestKeep(t *testing.T) {
	s, ctx := newSource(t, 5), t.Context()
	s.submit(40)
	s.recount()
	body, first := s.submit(20)
	for i := range 5 {
		_, err := s.At(i).Get(ctx, first.PCSID, client.Read{MinSeq: first.Seq})
		must(t, err)
	}
	for i := range 5 {
		s.Stop(i)
	}
	for i := 2; i < 5; i++ {
		must(t, os.RemoveAll(s.Dir(i)))
	}
	before, o := files(t, s.Dir(0)), keepOptions(t, s.Cluster, 0)
	_, o.PeerAddr = s.Place(0) // the machine is the same, so the other survivor finds the new node there
	k, err := restore.Keep(ctx, o)
	must(t, err)
	if files(t, s.Dir(0)) != before {
		t.Error("the directory of the survivor has changed")
	}
	if k.Survivor != "node-1" || k.From != "nodetest" || k.Position.Seq < first.Seq || k.Floor.Seq > k.Position.Seq || k.Differ != 0 {
		t.Errorf("%+v", k)
	}
	if _, err := restore.Keep(ctx, keepOptions(t, s.Cluster, 0)); !errors.Is(err, restore.ErrRecovered) {
		t.Errorf("a second time: %v", err)
	}
	c := s.Take(k.Dir, k.ClusterID, k.NodeID, k.PeerAddr)
	checkKept(t, c, &k)
	again, err := c.Client.Submit(ctx, body)
	if err != nil || !again.Replayed || again.Seq != first.Seq {
		t.Errorf("a record from before: %+v %v, was %+v", again, err, first)
	}
	comesBack(t, s.Cluster, c)
	s.Cluster, s.records = c, nodetest.NewRecords(t)
	s.submit(10)
}

// checkKept compares a new cluster with what Keep said.
func checkKept(t *testing.T, c *nodetest.Cluster, k *restore.Kept) {
	t.Helper()
	ctx := t.Context()
	digestAt(t, c, k.Position.Seq, k.Digest, true)
	v, err := c.Client.Version(ctx)
	must(t, err)
	if v.ClusterID != "second" || !slices.Equal(v.Formerly, []string{"nodetest"}) {
		t.Errorf("%+v", v)
	}
	e, err := c.Client.Event(ctx, k.Position.Seq+1, client.Read{})
	must(t, err)
	if e.Kind != "restored" || !strings.Contains(fmt.Sprint(e), "survivor") {
		t.Errorf("the first new event is %+v", e)
	}
	page, err := c.Client.OperationsPage(ctx, k.Position.Seq, 10, client.Read{})
	must(t, err)
	if i := slices.IndexFunc(page.Items, func(o wire.OperationItem) bool { return o.Kind == "restored" }); i < 0 ||
		page.Items[i].Actor != "alice" || page.Items[i].Reason != "two disks burned" || page.Items[i].Effect != "applied" {
		t.Errorf("%+v", page.Items)
	}
}

// comesBack starts the second survivor of the old cluster beside the new one.
func comesBack(t *testing.T, old, c *nodetest.Cluster) {
	t.Helper()
	look := func() survivor.Report {
		r, err := survivor.Look(t.Context(), old.Dir(1), quiet)
		must(t, err)
		return *r
	}
	before := look()
	old.Restart(1)
	old.Await("the old node is told", func() error {
		if !strings.Contains(old.Logs(), `certificate \"second-1\" names no member of cluster \"nodetest\"`) {
			return errors.New("it says nothing of another cluster")
		}
		return nil
	})
	if status, text := old.Once(1, "GET", "/readyz?verbose", nil); status == 200 {
		t.Errorf("the old node is ready: %s", text)
	}
	got, err := c.Client.Cluster(t.Context())
	if err != nil || len(got.Members) != 1 || got.Leader != "second-1" {
		t.Errorf("the new cluster: %+v %v", got, err)
	}
	old.Stop(1)
	if after := look(); after.Last != before.Last || after.Term != before.Term || after.NodeID != "node-2" {
		t.Errorf("it was %+v and is %+v", before, after)
	}
}

// TestKeepRefuses: nothing is written then, and a cluster that can go on by itself is not recovered.
func TestKeepRefuses(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	s.submit(5)
	if _, err := restore.Keep(ctx, keepOptions(t, s.Cluster, 0)); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("a node that runs: %v", err)
	}
	for i := range 3 {
		s.Stop(i)
	}
	doubts := errors.New("better not")
	for name, c := range map[string]struct {
		change func(*restore.KeepOptions)
		want   error
	}{
		"the same cluster": {func(o *restore.KeepOptions) { o.ClusterID = "nodetest" }, restore.ErrSameID},
		"a used node id":   {func(o *restore.KeepOptions) { o.NodeID = "node-2" }, restore.ErrUsedID},
		"no consent":       {func(o *restore.KeepOptions) { o.Confirm = func(*survivor.Comparison) error { return doubts } }, doubts},
		"a directory in use": {func(o *restore.KeepOptions) {
			must(t, os.MkdirAll(o.Into, 0o700))
			must(t, os.WriteFile(filepath.Join(o.Into, "x"), nil, 0o600))
		}, restore.ErrNotEmpty},
		"no node": {func(o *restore.KeepOptions) { o.Dir = t.TempDir() }, survivor.ErrNoNode},
		"a short log": {func(o *restore.KeepOptions) {
			must(t, os.CopyFS(o.Into+"-old", os.DirFS(o.Dir)))
			o.Dir = o.Into + "-old"
			must(t, os.Remove(filepath.Join(o.Dir, "events", "end")))
		}, survivor.ErrDamaged},
	} {
		o := keepOptions(t, s.Cluster, 0)
		c.change(&o)
		if _, err := restore.Keep(ctx, o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range []string{filepath.Join(o.Into, "node.json"), filepath.Join(o.Dir, survivor.RecoveredFile)} {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: %v", name, path, err)
			}
		}
	}
	one := newSource(t, 1)
	one.Stop(0)
	if _, err := restore.Keep(ctx, keepOptions(t, one.Cluster, 0)); !errors.Is(err, restore.ErrMajority) {
		t.Errorf("a node that is its own majority: %v", err)
	}
}

// TestKeepWhileAnotherAsks: two people recover the same node. The one who consents later is refused, although nothing was
// recovered when the question was asked. What a killed recovery left in the directory of the survivor goes.
func TestKeepWhileAnotherAsks(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	s.submit(5)
	for i := range 3 {
		s.Stop(i)
	}
	left := filepath.Join(s.Dir(0), "survivor-123", "events")
	must(t, os.MkdirAll(left, 0o700))
	late, first := keepOptions(t, s.Cluster, 0), keepOptions(t, s.Cluster, 0)
	late.NodeID = "second-2"
	late.Confirm = func(*survivor.Comparison) error {
		_, err := restore.Keep(ctx, first)
		return err
	}
	if _, err := restore.Keep(ctx, late); !errors.Is(err, restore.ErrRecovered) {
		t.Errorf("the later consent: %v", err)
	}
	for _, path := range []string{filepath.Join(late.Into, "events"), left} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestKeepAgain: a recovery that ended behind the mark can be repeated into the same place, and not into another one.
func TestKeepAgain(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	s.submit(5)
	for i := range 3 {
		s.Stop(i)
	}
	o := keepOptions(t, s.Cluster, 0)
	first, err := restore.Keep(ctx, o)
	must(t, err)
	if _, err := restore.Keep(ctx, o); !errors.Is(err, restore.ErrNotEmpty) {
		t.Errorf("what is done: %v", err)
	}
	must(t, os.RemoveAll(o.Into))
	other := o
	other.NodeID = "second-9"
	if _, err := restore.Keep(ctx, other); !errors.Is(err, restore.ErrRecovered) {
		t.Errorf("under another name: %v", err)
	}
	second, err := restore.Keep(ctx, o)
	must(t, err)
	if first != second {
		t.Errorf("%+v, was %+v", second, first)
	}
	must(t, os.Remove(filepath.Join(s.Dir(0), survivor.RecoveredFile)))
	s.Restart(0) // the old directory still works
	s.Restart(1)
	s.AwaitReady(0)
	s.submit(5)
}
