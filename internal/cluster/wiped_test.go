package cluster

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// wipe loses the disk of a node that is stopped.
func (b *box) wipe(id string) {
	b.t.Helper()
	n := b.nodes[id]
	if err := os.RemoveAll(n.dir); err != nil {
		b.t.Fatal(err)
	}
	n.logs, n.fsm = newMemLog(), newMemFSM()
}

// TestWipedFounderMeetsNewMembers: a founding voter that has lost its disk founds the cluster again while nobody who
// knows it answers. Members that were added later never met it. They do not take it for the voter.
func TestWipedFounderMeetsNewMembers(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	founders := slices.Clone(b.voters)
	b.propose(b.leader(), "x")
	b.stop("n3")
	for _, id := range []string{"n4", "n5"} {
		b.joins(id)
		b.grow(id)
	}
	b.wipe("n3")
	for _, id := range []string{"n1", "n2"} {
		b.net.set("n3", id, true)
	}
	lost := b.start("n3", func(c *Config) { c.Voters = founders })
	for _, id := range []string{"n4", "n5"} {
		_, err := b.nodes[id].c.Call(t.Context(), "n3", pathTerm, nil)
		if !errors.Is(err, errRefused) {
			t.Errorf("%s takes a wiped voter for a member: %v", id, err)
		}
	}
	if _, leads := lost.IsLeader(); leads {
		t.Error("the wiped voter leads")
	}
}

// TestWipedFoundersAlone: all founders of a cluster that has grown lose their disks and found the cluster again. They
// learn that from the members that call them, and must not serve. The others go on.
func TestWipedFoundersAlone(t *testing.T) {
	for _, ids := range [][]string{{"n1"}, {"n1", "n2"}} {
		b := newBox(t, ids...).startAll()
		founders := slices.Clone(b.voters)
		for _, id := range []string{"n3", "n4", "n5"}[:len(ids)+1] {
			b.joins(id)
			b.grow(id)
		}
		for range 20 {
			b.propose(b.leader(), "x")
		}
		for _, id := range ids {
			b.stop(id)
			b.wipe(id)
		}
		for _, id := range ids {
			b.start(id, func(c *Config) { c.Voters = founders })
		}
		for _, id := range ids {
			until(t, id+" must not serve", func() bool { return b.nodes[id].c.Standing() != nil })
		}
		lead := b.leader(ids...)
		b.propose(lead, "goes on")
		if err := lead.c.Standing(); err != nil {
			t.Errorf("the leader of the others: %v", err)
		}
	}
}
