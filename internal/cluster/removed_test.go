package cluster

import (
	"context"
	"testing"
)

// TestTwoRemovedNodes: a node that was down while it and another member were removed learns it, although the other one
// still has it among its members. What a removed node says counts for nothing.
func TestTwoRemovedNodes(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3", "n4").startAll()
	lead := b.leader()
	f := b.followers(lead)
	away, other := f[0], f[1]
	for _, n := range f {
		until(t, "the leader hears "+n.id, func() bool { _, alive := lead.c.watchdog.progress(n.id); return alive })
	}
	b.stop(away.id)
	b.change("remove one", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, other.id) })
	until(t, "it knows its removal", func() bool { return other.c.peer.roster.left() != nil })
	b.change("remove the one that is down", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, away.id) })
	b.net.set(away.id, f[2].id, true)
	b.start(away.id, nil)
	until(t, "it is told", func() bool { return away.c.peer.roster.removed() != nil })
}

// TestRemovedBeforeItsFirstEntry: a node that was added and removed again before it got an entry learns it.
func TestRemovedBeforeItsFirstEntry(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	late := b.add("n4")
	late.join = true
	waits := b.start("n4", func(c *Config) { c.HoldEntries = true })
	b.change("add it", func(ctx context.Context, c *Cluster) error {
		return c.AddLearner(ctx, "n4", b.voters[3].PeerAddr)
	})
	b.change("remove it", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, "n4") })
	until(t, "it is told", func() bool { return waits.Standing() != nil })
	if last, _ := late.logs.LastIndex(); last != 0 {
		t.Errorf("it has %d entries", last)
	}
}
