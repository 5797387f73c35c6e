package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// disks records which nodes of a cluster are short of disk space.
type disks struct {
	mu    sync.Mutex
	short map[string]bool
}

func (d *disks) set(c *nodetest.Cluster, short bool, nodes ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range nodes {
		d.short[c.Config(i).NodeID] = short
	}
}

func (d *disks) tune(cfg *node.Config) {
	id := cfg.NodeID
	cfg.DiskFree = func() uint64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.short[id] {
			return 1 << 20
		}
		return 100 << 30
	}
}

// says waits until node i takes a new record, or refuses it with some words.
func says(t *testing.T, c *nodetest.Cluster, i, status int, words string) {
	t.Helper()
	f := nodetest.NewRecords(t)
	c.Await(fmt.Sprintf("%d %s", status, words), func() error {
		got, text := c.Once(i, "POST", client.SubmitPath,
			f.Sign(nodetest.Record{Shard: "s", Epoch: time.Now().UnixNano(), Root: "r"}))
		if got != status || !strings.Contains(string(text), words) {
			return fmt.Errorf("node %d: %d %s", i+1, got, text)
		}
		return nil
	})
}

// leaderIsNot waits until another node than i leads.
func leaderIsNot(c *nodetest.Cluster, i int) (leader int) {
	c.Await(fmt.Sprintf("another leader than node %d", i+1), func() error {
		if leader = c.Leader(); leader == i {
			return fmt.Errorf("node %d leads", i+1)
		}
		return nil
	})
	return leader
}

// TestLeaderShortOfDisk: a leader without room hands over to one that has room, and leads again when it has
// room and the others have none.
func TestLeaderShortOfDisk(t *testing.T) {
	d := disks{short: map[string]bool{}}
	c := nodetest.Start(t, 3, d.tune)
	first := c.Leader()
	d.set(c, true, first)
	next := leaderIsNot(c, first)
	says(t, c, 3-first-next, 200, "")
	says(t, c, first, 503, "short of disk space")
	for next != first {
		d.set(c, false, 0, 1, 2)
		for i := range 3 {
			c.AwaitReady(i)
		}
		d.set(c, true, next)
		next = leaderIsNot(c, next)
	}
	d.set(c, false, 0, 1, 2)
	says(t, c, (first+1)%3, 200, "")
	c.Check()
}

// TestAllShortOfDisk: while no majority has room, the leader stays and says what is wrong, however often it is
// asked; it takes submissions again when there is room.
func TestAllShortOfDisk(t *testing.T) {
	d := disks{short: map[string]bool{}}
	c := nodetest.Start(t, 3, d.tune)
	leader := c.Leader()
	roomy := (leader + 1) % 3
	d.set(c, true, 3-leader-roomy) // one that does not lead
	says(t, c, 3-leader-roomy, 503, "short of disk space")
	d.set(c, true, leader) // one of three has room: nobody could do better
	says(t, c, roomy, 503, "the leader is short of disk space")
	before, err := c.At(roomy).Cluster(t.Context())
	must(t, err)
	for end := time.Now().Add(6 * nodetest.ElectionTimeout); time.Now().Before(end); {
		says(t, c, roomy, 503, "the leader is short of disk space")
	}
	d.set(c, true, roomy)
	says(t, c, roomy, 503, "short of disk space")
	for end := time.Now().Add(6 * nodetest.ElectionTimeout); time.Now().Before(end); {
		says(t, c, leader, 503, "short of disk space")
	}
	if after, err := c.At(roomy).Cluster(t.Context()); err != nil || after.Leader != before.Leader ||
		after.Term != before.Term {
		t.Errorf("%v: %s leads in term %d, before it was %s in %d", err, after.Leader, after.Term, before.Leader,
			before.Term)
	}
	d.set(c, false, 0, 1, 2)
	for i := range 3 {
		says(t, c, i, 200, "")
	}
	c.Check()
}
