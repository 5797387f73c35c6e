package cluster

import (
	"sync/atomic"
	"testing"
	"time"
)

// boxOfFitness is a running cluster, of three unless named, whose nodes are fit as the test says.
func boxOfFitness(t *testing.T, ids ...string) (b *box, unfit map[string]*atomic.Bool) {
	if len(ids) == 0 {
		ids = []string{"n1", "n2", "n3"}
	}
	b, unfit = newBox(t, ids...), map[string]*atomic.Bool{}
	for _, v := range b.voters {
		is := &atomic.Bool{}
		unfit[v.ID] = is
		b.start(v.ID, func(c *Config) { c.Unfit = is.Load })
	}
	return b, unfit
}

// knows waits until a node counts so many others as fit.
func knows(t *testing.T, n *node, fit int) {
	t.Helper()
	until(t, "who is fit", func() bool {
		return n.c.fitness.others(n.c.members.now(), time.Now(), 2*n.c.cfg.Timings.Election) == fit
	})
}

// TestUnfitLeaderIsReplaced: a leader that is not fit is replaced while the two others are fit, and stays alive as a follower.
func TestUnfitLeaderIsReplaced(t *testing.T) {
	b, unfit := boxOfFitness(t)
	old := b.leader()
	knows(t, old, 2)
	last := b.propose(old, "before")
	unfit[old.id].Store(true)
	if _, err := old.c.Propose([]byte("too late")).Wait(t.Context()); err == nil {
		t.Error("a leader that yields proposes")
	}
	next := b.leader(old.id)
	last = max(last, b.propose(next, "while it is not fit"))
	until(t, "the old leader follows", func() bool { _, leads := old.c.IsLeader(); return !leads && old.fsm.at(last) != "" })

	// It is fit again, and leads again when the others are not any more.
	unfit[old.id].Store(false)
	for !isLeader(old) {
		now := b.leader()
		knows(t, now, 2)
		unfit[now.id].Store(true)
		b.leader(now.id)
		unfit[now.id].Store(false)
	}
	last = b.propose(b.leader(), "after")
	until(t, "everybody has it", func() bool {
		return b.nodes["n1"].fsm.at(last) == "after" && b.nodes["n2"].fsm.at(last) == "after" && b.nodes["n3"].fsm.at(last) == "after"
	})
}

func isLeader(n *node) bool {
	_, ok := n.c.IsLeader()
	return ok
}

// TestNobodyIsFit: while too few others are fit, the leader stays, in the same term.
func TestNobodyIsFit(t *testing.T) {
	b, unfit := boxOfFitness(t)
	lead := b.leader()
	for _, f := range b.followers(lead) {
		unfit[f.id].Store(true)
		knows(t, lead, 1)
		break
	}
	unfit[lead.id].Store(true) // one other is fit, which is no majority
	term, ok := lead.c.IsLeader()
	if !ok {
		t.Fatal("the leader was replaced before")
	}
	began := time.Now()
	for n := 0; time.Since(began) < 3*lead.c.cfg.Timings.Election; n++ {
		last := b.propose(lead, "as before")
		until(t, "the followers have it", func() bool {
			for _, f := range b.followers(lead) {
				if f.fsm.at(last) == "" {
					return false
				}
			}
			return true
		})
	}
	if now, ok := lead.c.IsLeader(); !ok || now != term {
		t.Errorf("term %d, before it was %d; leads: %v", now, term, ok)
	}
}

// TestUnfitBetweenTwo: the fit nodes do not reach each other, but the one that yields reaches both. One of them leads.
func TestUnfitBetweenTwo(t *testing.T) {
	b, unfit := boxOfFitness(t)
	old := b.leader()
	knows(t, old, 2)
	two := b.followers(old)
	b.net.set(two[0].id, two[1].id, true)
	unfit[old.id].Store(true)
	next := b.leader(old.id)
	last := b.propose(next, "by one of two")
	until(t, "the old leader follows", func() bool { return old.fsm.at(last) != "" })
	b.net.set(two[0].id, two[1].id, false)
	until(t, "the third has it", func() bool { return two[0].fsm.at(last) != "" && two[1].fsm.at(last) != "" })
}

// TestYieldingIsBounded: a node that yields stands again when nobody else leads, and yields on when somebody does.
func TestYieldingIsBounded(t *testing.T) {
	const election = time.Second
	var f fitness
	at := time.Now()
	for _, step := range []struct {
		after      time.Duration
		could, led bool
		want       bool
	}{
		{0, true, false, true},
		{5 * election, true, false, true},
		{7 * election, true, false, false},
		{17 * election, true, false, false},
		{18 * election, true, false, true},
		{19 * election, true, true, true},
		{60 * election, true, true, true},
		{61 * election, true, false, true},
		{68 * election, true, false, false},
		{69 * election, false, false, false},
		{70 * election, true, false, true},
	} {
		if got := f.yields(at.Add(step.after), step.could, step.led, election); got != step.want {
			t.Errorf("after %s: yields %v", step.after, got)
		}
	}
}
