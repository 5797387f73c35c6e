package restore_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/wire"
)

// TestRestore founds a cluster with a backup of another one that was recounted. It has the same digests and answers, says
// where it comes from, goes on, and can be backed up itself.
func TestRestore(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	s.submit(40)
	s.recount()
	body, first := s.submit(20)
	m := s.backup(1)
	report, err := restore.Verify(ctx, s.target, m, t.TempDir(), quiet)
	must(t, err)
	if report.Digest != m.Digest || report.Position != m.Position || report.Differ != 0 {
		t.Errorf("%+v, the manifest is %+v", report, m)
	}
	r, err := restore.Restore(ctx, s.options(m))
	must(t, err)
	if r.CutEvents != 0 || r.Digest != m.Digest || r.From != "nodetest" {
		t.Errorf("%+v", r)
	}
	c := start(t, r)
	digestAt(t, c, m.Position.Seq, m.Digest, true)
	v, err := c.Client.Version(ctx)
	must(t, err)
	if v.ClusterID != "second" || !slices.Equal(v.Formerly, []string{"nodetest"}) {
		t.Errorf("%+v", v)
	}
	e, err := c.Client.Event(ctx, m.Position.Seq+1, client.Read{})
	must(t, err)
	if e.Kind != "restored" {
		t.Errorf("the first new event is %+v", e)
	}
	again, err := c.Client.Submit(ctx, body)
	must(t, err)
	if !again.Replayed || again.Seq != first.Seq {
		t.Errorf("a record from before: %+v, was %+v", again, first)
	}
	flipped := nodetest.Record{Shard: "a", Epoch: 4, Root: "r"}.ID()
	old, err := s.Client.Get(ctx, flipped, client.Read{})
	must(t, err)
	c.Await("the history is there", func() error {
		now, err := c.Client.Get(ctx, flipped, client.Read{})
		if err == nil && (len(old.History) == 0 || len(now.History) != len(old.History) || now.Outcome != old.Outcome) {
			err = errors.New("another history")
		}
		return err
	})
	s.Cluster, s.records = c, nodetest.NewRecords(t)
	s.submit(10)
	c.Stop(0)
	c.Restart(0)
	c.AwaitReady(0)
	s.submit(10)
	if s.target, err = backup.CreateDir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	second := s.backup(0)
	if _, err := restore.Verify(ctx, s.target, second, t.TempDir(), quiet); err != nil || second.ClusterID != "second" {
		t.Errorf("a backup of the restored cluster: %v", err)
	}
	page, err := c.Client.OperationsPage(ctx, m.Position.Seq, 10, client.Read{})
	must(t, err)
	if i := slices.IndexFunc(page.Items, func(o wire.OperationItem) bool { return o.Kind == "restored" }); i < 0 ||
		page.Items[i].Actor != "alice" || page.Items[i].Reason != "site a burned down" || page.Items[i].Effect != "applied" {
		t.Errorf("%+v", page.Items)
	}
}
