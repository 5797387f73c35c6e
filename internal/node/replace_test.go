package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestReplaceNode loses a node under load, removes it, and adds another one, which becomes a voter. Every submission is
// answered, and in the end the new node holds what the others hold.
func TestReplaceNode(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	l := startLoad(t, c, f, 2)
	l.await(50)
	lead := c.Leader()
	lost := (lead + 1) % 3
	lostID, _ := c.Place(lost)
	c.Forget(lost)
	change := func(what string, f func(m *cluster.Cluster) error) {
		t.Helper()
		c.Await(what, func() error { return f(c.Node(c.Leader()).Cluster()) })
	}
	change("the removal", func(m *cluster.Cluster) error {
		err := m.Remove(t.Context(), lostID)
		if errors.Is(err, cluster.ErrUnknownNode) {
			return nil
		}
		return err
	})
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	change("the new node", func(m *cluster.Cluster) error { return m.AddLearner(t.Context(), id, peer) })
	c.AwaitReady(i)
	tries := 0
	change("the promotion", func(m *cluster.Cluster) error {
		err := m.Promote(t.Context(), id)
		if tries++; errors.Is(err, cluster.ErrNotCaughtUp) && tries%20 == 0 {
			for i := range c.Size() { // ten seconds pass at once
				c.Sleep(i, time.Duration(tries/20)*11*time.Second)
			}
		}
		return err
	})
	l.await(50)
	c.Stop((i + 1) % c.Size()) // the new one must count
	l.await(50)
	c.Restart((i + 1) % c.Size())
	l.end()
	if n := l.lost.Load(); n != 0 {
		t.Errorf("%d submissions were not answered", n)
	}
	for i := range c.Size() {
		c.AwaitReady(i)
		if got := fmt.Sprint(c.Node(i).Cluster().Configuration().Voters); got != fmt.Sprint(c.Node(0).Cluster().Configuration().Voters) {
			t.Errorf("node %d: %s", i, got)
		}
	}
	c.Check()
}
