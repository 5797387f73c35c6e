package cluster

import (
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"
)

// follows waits until a node has an entry and does not lead.
func follows(t *testing.T, n *node, index uint64) {
	t.Helper()
	until(t, n.id+" follows", func() bool { return !isLeader(n) && n.fsm.at(index) != "" })
}

// TestFiveVotersYield: of five voters a leader that is not fit goes while three of the others are fit, one of the five being down,
// and the next one stays while two are.
func TestFiveVotersYield(t *testing.T) {
	b, unfit := boxOfFitness(t, "n1", "n2", "n3", "n4", "n5")
	old := b.leader()
	down := b.followers(old)[0]
	b.stop(down.id)
	knows(t, old, 3)
	unfit[old.id].Store(true)
	next := b.leader(old.id)
	follows(t, old, b.propose(next, "by the next one"))
	knows(t, next, 2) // the old one is not fit, one is down
	term, _ := next.c.IsLeader()
	unfit[next.id].Store(true)
	for began := time.Now(); time.Since(began) < 3*next.c.cfg.Timings.Election; {
		follows(t, old, b.propose(next, "nobody could do better"))
	}
	if now, leads := next.c.IsLeader(); !leads || now != term {
		t.Errorf("leads: %v, in term %d, it was %d", leads, now, term)
	}
}

// TestYieldingNodeIsCutOff: a leader that yields and is cut off at the same moment, and started again meanwhile, comes back as a
// follower and moves no term.
func TestYieldingNodeIsCutOff(t *testing.T) {
	b, unfit := boxOfFitness(t)
	old := b.leader()
	knows(t, old, 2)
	b.propose(old, "before")
	unfit[old.id].Store(true)
	b.isolate(old.id, true)
	next := b.leader(old.id)
	last := b.propose(next, "while it is cut off")
	term, _ := next.c.IsLeader()
	b.stop(old.id)
	b.start(old.id, func(c *Config) { c.Unfit = unfit[old.id].Load })
	b.propose(next, "while it starts")
	b.isolate(old.id, false)
	follows(t, old, last)
	if now, leads := next.c.IsLeader(); !leads || now != term {
		t.Errorf("leads: %v, in term %d, it was %d", leads, now, term)
	}
	unfit[old.id].Store(false)
	knows(t, next, 2)
	unfit[next.id].Store(true) // the one that was cut off may lead again
	until(t, "another one leads", func() bool { return !isLeader(next) })
	follows(t, next, b.propose(b.leader(next.id), "after"))
}

// hovers makes each node in turn unfit for a while, for some time and at least until done, and proposes at whoever leads. It
// returns what was acknowledged.
func (b *box) hovers(unfit map[string]*atomic.Bool, each, atLeast time.Duration, done func() bool) map[uint64]string {
	b.t.Helper()
	acknowledged := map[uint64]string{}
	began := time.Now()
	for n := 0; time.Since(began) < atLeast || !done(); n++ {
		if time.Since(began) > 10*atLeast {
			b.t.Fatalf("%d entries in %s, and no end", len(acknowledged), time.Since(began))
		}
		for i, v := range b.voters {
			unfit[v.ID].Store(int(time.Since(began)/each)%len(b.voters) == i)
		}
		for _, v := range b.voters {
			at := b.nodes[v.ID]
			if !isLeader(at) {
				continue
			}
			data := fmt.Sprint(n, v.ID)
			if index, err := at.c.Propose([]byte(data)).Wait(short(b.t, each)); err == nil {
				acknowledged[index] = data
			}
		}
	}
	for id := range unfit {
		unfit[id].Store(false)
	}
	return acknowledged
}

// TestHoveringNodes: what is acknowledged while the nodes become unfit in turn is in the log of every node. When that changes
// faster than an election, hardly anybody is elected; when it changes slowly, the lead moves once or twice for each of them.
func TestHoveringNodes(t *testing.T) {
	b, unfit := boxOfFitness(t)
	lead := b.leader()
	knows(t, lead, 2)
	election, before := lead.c.cfg.Timings.Election, lead.c.Term()
	entries := b.hovers(unfit, election/4, 8*election, func() bool { return true })
	fast := b.leader().c.Term()
	if len(entries) == 0 || fast-before > 4 {
		t.Errorf("%d entries, %d terms", len(entries), fast-before)
	}
	began := time.Now()
	maps.Copy(entries, b.hovers(unfit, 4*election, 12*election, func() bool { return b.leader().c.Term() > fast+1 }))
	turns := uint64(time.Since(began)/(4*election)) + 1
	slow := b.leader().c.Term()
	if slow-fast > 3*turns {
		t.Errorf("%d terms in %d turns", slow-fast, turns)
	}
	last := b.propose(b.leader(), "the last one")
	for _, v := range b.voters {
		n := b.nodes[v.ID]
		until(t, "everything", func() bool { return n.fsm.at(last) != "" })
		for index, data := range entries {
			if got := n.fsm.at(index); got != data {
				t.Errorf("%s has %q at %d, acknowledged was %q", v.ID, got, index, data)
			}
		}
	}
	t.Logf("%d entries; %d terms of fast changes, %d of slow ones in %d turns", len(entries), fast-before, slow-fast, turns)
}
