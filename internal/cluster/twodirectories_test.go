package cluster

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestLeaderThatHasNotReadTheLedger: two directories have the join token of n4, and the ledger names the first one. A leader
// whose fold is behind reaches the second one, at the address of its settings. It sends it no entries, and so the
// second one never counts for a majority. Once the fold has caught up, the first one gets them.
func TestLeaderThatHasNotReadTheLedger(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.add("n4")
	all := b.voters
	b.voters = all[:3]
	var first atomic.Pointer[string] // incarnation of the directory that the ledger names
	fold := func(ready func() bool) func(*Config) {
		return func(c *Config) {
			c.JoinedFrom = func(id string) (string, uint64) {
				named := first.Load()
				switch {
				case named == nil || !ready():
					return "", 1
				case id == "n4":
					return *named, 1 << 40
				}
				return "", 1 << 40
			}
		}
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		b.start(id, fold(func() bool { return true }))
	}
	b.propose(b.leader(), "x")
	b.stop("n2")
	b.voters = all
	second := b.nodes["n4"]
	second.join = true
	b.start("n4", nil)
	ln := b.listen()
	elsewhere := func(c *Config) {
		c.Voters = slices.Clone(c.Voters)
		for i := range c.Voters {
			if c.Voters[i].ID == "n4" {
				c.Voters[i].PeerAddr = ln.Addr().String()
			}
		}
	}
	right := &node{id: "n4", dir: filepath.Join(b.dir, "n4-right"), logs: newMemLog(), fsm: newMemFSM(), ln: ln, join: true,
		fatals: make(chan error, 8)}
	b.nodes["n4"], b.nodes["n4 again"] = right, second
	b.start("n4", elsewhere)
	first.Store(&right.c.cfg.self.Incarnation)
	b.change("add n4", func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, "n4", ln.Addr().String()) })
	last := b.propose(b.leader("n4"), "for n4")
	until(t, "n4 has it", func() bool { return right.fsm.at(last) == "for n4" })
	b.stop("n4")

	var caughtUp atomic.Bool
	var dialed atomic.Int64
	b.start("n2", func(c *Config) {
		fold(caughtUp.Load)(c)
		plain := c.dial
		c.dial = func(ctx context.Context, id, addr string) (net.Conn, error) {
			if id == "n4" {
				dialed.Add(1)
			}
			return plain(ctx, id, addr)
		}
	})
	n2 := b.nodes["n2"]
	until(t, "n2 has it", func() bool { return n2.fsm.at(last) == "for n4" })
	if lead := b.leader("n4"); lead != n2 {
		if _, err := lead.c.Transfer(short(t, 10*time.Second), "n2"); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "n2 leads", func() bool { _, ok := n2.c.IsLeader(); return ok })
	last = b.propose(n2, "by n2")
	so := dialed.Load()
	until(t, "n2 has tried to reach n4", func() bool { return dialed.Load() > so+5 || second.fsm.at(last) != "" })
	if got := second.fsm.at(last); got != "" {
		t.Errorf("the second directory has got %q", got)
	}
	caughtUp.Store(true)
	var err error
	if right.ln, err = net.Listen("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b.start("n4", elsewhere)
	until(t, "the first directory has everything", func() bool { return right.fsm.at(last) == "by n2" })
}
