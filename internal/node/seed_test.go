package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/seed"
)

// seedAll makes joining nodes copy logs of every size.
func seedAll(cfg *node.Config) { cfg.SeedFrom = 1 }

// slowCopies makes copies take a while: the log of a test has some hundred KiB.
func slowCopies(rate int) func(*node.Config) { return func(cfg *node.Config) { cfg.CopyRate = rate } }

// admit adds node i to the cluster as a learner.
func admit(t *testing.T, c *nodetest.Cluster, i int) {
	t.Helper()
	id, peer := c.Place(i)
	c.Await("the new node", func() error {
		return c.Node(c.Leader()).Cluster().AddLearner(t.Context(), id, peer)
	})
}

// awaitSeed waits until the files of a copy come in at node i.
func awaitSeed(t *testing.T, c *nodetest.Cluster, i int) (from string) {
	t.Helper()
	c.Await("a copy is under way", func() error {
		s, ok := c.Node(i).Seeding()
		if !ok || s.Phase != seed.Copying || s.Have == 0 {
			return fmt.Errorf("%v %+v", ok, s)
		}
		from = s.Member
		return nil
	})
	return from
}

func numberOf(t *testing.T, c *nodetest.Cluster, id string) int {
	t.Helper()
	for i := range c.Size() {
		if got, _ := c.Place(i); got == id {
			return i
		}
	}
	t.Fatalf("no node %s", id)
	return 0
}

// seeded makes sure that node i started on a copy and that nothing of the copying is left.
func seeded(t *testing.T, c *nodetest.Cluster, i int) {
	t.Helper()
	c.AwaitReady(i)
	id, _ := c.Place(i)
	if !strings.Contains(c.Logs(), `msg="the copy of the log is in place" node=`+id) {
		t.Errorf("%s has not copied the log", id)
	}
	left, err := filepath.Glob(filepath.Join(c.Dir(i), "events.seed*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestSeedUnderLoad: two nodes join at once while records come in. Both copy the log and end with the ledger of the others.
func TestSeedUnderLoad(t *testing.T) {
	c := nodetest.Start(t, 3, seedAll)
	l := startLoad(t, c, nodetest.NewRecords(t), 4)
	l.await(200)
	one, two := c.Grow("node-4"), c.Grow("node-5")
	c.Await("it says that it waits", func() error {
		status, body := c.Once(one, http.MethodGet, "/readyz", nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(string(body), "waits until the cluster adds it") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	admit(t, c, one)
	admit(t, c, two)
	seeded(t, c, one)
	seeded(t, c, two)
	l.await(50)
	l.end()
	if n := l.lost.Load(); n != 0 {
		t.Errorf("%d submissions were not answered", n)
	}
	c.Check()
}

// TestSeedGoesOnElsewhere: the member that gives the copy stops, and then the leader. The copy comes from another one.
func TestSeedGoesOnElsewhere(t *testing.T) {
	c := nodetest.Start(t, 3, seedAll, slowCopies(400_000))
	l := startLoad(t, c, nodetest.NewRecords(t), 4)
	l.await(400)
	l.end()
	i := c.Grow("node-4")
	admit(t, c, i)
	from := numberOf(t, c, awaitSeed(t, c, i))
	if from == c.Leader() {
		t.Error("the leader gives the copy although followers can")
	}
	c.Stop(from)
	c.Await("another member gives it", func() error {
		if s, ok := c.Node(i).Seeding(); !ok || numberOf(t, c, s.Member) == from {
			return errors.New("not yet")
		}
		return nil
	})
	c.Restart(from)
	c.AwaitReady(from)
	c.Stop(c.Leader())
	for k := range c.Size() {
		if c.Node(k) == nil {
			c.Restart(k)
		}
	}
	seeded(t, c, i)
	c.Check()
}

// TestSeedAfterRestart: a node that stops while it copies goes on with what it has.
func TestSeedAfterRestart(t *testing.T) {
	c := nodetest.Start(t, 1, seedAll, slowCopies(400_000))
	l := startLoad(t, c, nodetest.NewRecords(t), 4)
	l.await(400)
	l.end()
	i := c.Grow("node-2")
	admit(t, c, i)
	awaitSeed(t, c, i)
	c.Stop(i)
	if _, err := os.Stat(filepath.Join(c.Dir(i), "events.seed", "plan.json")); err != nil {
		t.Fatal(err)
	}
	c.Restart(i)
	seeded(t, c, i)
	c.Check()
}

// TestSmallLogIsReplicated: below the bound Raft replicates the log, and no file of a copy is made.
func TestSmallLogIsReplicated(t *testing.T) {
	c := nodetest.Start(t, 1)
	i := c.Grow("node-2")
	admit(t, c, i)
	c.AwaitReady(i)
	if strings.Contains(c.Logs(), "made a copy of the log") {
		t.Error("a copy was made")
	}
	c.Check()
}

// TestOnlyMembersGetCopies: a node with a certificate of this cluster gets nothing before it is added and after it was
// removed.
func TestOnlyMembersGetCopies(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.SeedFrom = 1 << 40 })
	i := c.Grow("node-2")
	id, _ := c.Place(i)
	ask := func(path, want string) {
		t.Helper()
		body := []byte(`{"id":"abcdefghijklmnop","name":"end","bytes":1}`)
		c.Await("the answer to "+path, func() error {
			_, err := c.Node(i).Cluster().Call(t.Context(), "node-1", path, body)
			var refused *cluster.RemoteError
			if want == cluster.CodeRemoved && errors.Is(err, cluster.ErrRemoved) {
				return nil // it knows, and asks nobody any more
			}
			if !errors.As(err, &refused) || refused.Code != want {
				return fmt.Errorf("%w, want %s", err, want)
			}
			return nil
		})
	}
	paths := []string{seed.OfferPath, seed.MakePath, seed.ReadPath, seed.DonePath}
	for _, p := range paths {
		ask(p, cluster.CodeNoMember)
	}
	admit(t, c, i)
	c.AwaitReady(i)
	ask(seed.ReadPath, "no_copy")
	c.MayEnd(i)
	c.Await("the removal", func() error {
		return c.Node(c.Leader()).Cluster().Remove(context.WithoutCancel(t.Context()), id)
	})
	for _, p := range paths {
		ask(p, cluster.CodeRemoved)
	}
}
