package cluster

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// change runs a change on whichever node leads until it is done. An error for a reason of its own ends the test.
func (b *box) change(what string, f func(ctx context.Context, c *Cluster) error) {
	b.t.Helper()
	var last error
	until(b.t, what, func() bool {
		last = f(short(b.t, 5*time.Second), b.leader().c)
		again := errors.Is(last, ErrNotLeader) || errors.Is(last, ErrBusy) || errors.Is(last, ErrLeadershipLost)
		if last != nil && !again {
			b.t.Fatalf("%s: %v", what, last)
		}
		return last == nil
	})
}

// grow adds a node that waits, and makes it a voter once it has kept up.
func (b *box) grow(id string) {
	b.t.Helper()
	addr := b.nodes[id].c.cfg.addrOf(id)
	b.change("add "+id, func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, id, addr) })
	b.promote(id)
}

// promote makes a learner a voter. The time for which it has to keep up passes at once.
func (b *box) promote(id string) {
	b.t.Helper()
	tries := 0
	b.change("promote "+id, func(ctx context.Context, c *Cluster) error {
		err := c.Promote(ctx, id)
		if errors.Is(err, ErrNotCaughtUp) {
			if tries++; tries%20 == 0 {
				b.passed.Add(int64(keptUpFor))
			}
			return ErrBusy
		}
		return err
	})
}

func (b *box) voterIDs(of string) []string { return b.nodes[of].c.Configuration().Voters }

// TestReplaceMember: a lost voter is removed, a new node is added, gets the whole log, is promoted and then counts.
func TestReplaceMember(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	for i := range 200 {
		b.propose(b.leader(), "before "+string(rune('a'+i%26)))
	}
	b.stop("n3")
	b.change("remove n3", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, "n3") })
	n4 := b.joins("n4")
	if n4.c.Configuration().Index != 0 {
		t.Error("n4 has a configuration of its own")
	}
	addr := n4.c.cfg.addrOf("n4")
	b.change("add n4", func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, "n4", addr) })
	last := b.propose(b.leader(), "for the learner")
	until(t, "n4 has everything", func() bool { return n4.fsm.at(last) == "for the learner" })
	if got := b.voterIDs("n4"); !slices.Equal(got, []string{"n1", "n2"}) {
		t.Errorf("voters at n4: %v", got)
	}
	if err := b.leader().c.Promote(t.Context(), "n4"); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("promoted at once: %v", err)
	}
	b.promote("n4")
	b.stop(b.followers(b.leader())[0].id) // one of three: the new one must count
	last = b.propose(b.leader(), "after")
	lead := b.leader()
	for _, n := range b.nodes {
		if n.c != nil {
			until(t, n.id+" has it", func() bool { return n.fsm.at(last) == "after" })
		}
	}
	if got := b.voterIDs(lead.id); !slices.Equal(got, []string{"n1", "n2", "n4"}) {
		t.Errorf("voters: %v", got)
	}
}

// TestRemovedNodeIsTold: a removed node that runs, one that was away, and one that starts with an empty directory learn that they
// were removed. They take no part, and keep their log.
func TestRemovedNodeIsTold(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3", "n4", "n5").startAll()
	last := b.propose(b.leader(), "x")
	f := b.followers(b.leader())
	runs, away := f[0], f[1]
	until(t, "both have it", func() bool { return runs.fsm.at(last) == "x" && away.fsm.at(last) == "x" })
	b.stop(away.id)
	for _, id := range []string{runs.id, away.id} {
		b.change("remove "+id, func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, id) })
	}
	b.start(away.id, nil)
	for _, n := range []*node{runs, away} {
		until(t, n.id+" is told", func() bool { return errors.Is(n.c.Standing(), ErrRemoved) })
		if _, err := n.c.ReadIndex(short(t, 200*time.Millisecond)); err == nil {
			t.Errorf("%s reads", n.id)
		}
		if n.fsm.at(last) != "x" {
			t.Errorf("%s lost its log", n.id)
		}
	}
	for _, n := range b.followers(nil) {
		if n == runs || n == away {
			continue
		}
		if err := n.c.Standing(); err != nil {
			t.Errorf("%s, which stays: %v", n.id, err)
		}
		until(t, n.id+" closed its connections", func() bool {
			n.c.calls.mu.Lock()
			defer n.c.calls.mu.Unlock()
			return n.c.calls.open[runs.id] == nil && n.c.calls.open[away.id] == nil
		})
	}
	b.stop(away.id)
	if err := os.RemoveAll(away.dir); err != nil {
		t.Fatal(err)
	}
	away.logs, away.fsm, away.join = newMemLog(), newMemFSM(), true
	if _, err := b.open(away.id, nil); !errors.Is(err, errRefused) {
		t.Errorf("with an empty directory: %v", err)
	}
	err := b.leader().c.AddLearner(short(t, 5*time.Second), away.id, "127.0.0.1:1")
	if !errors.Is(err, ErrIDUsed) {
		t.Errorf("the id again: %v", err)
	}
}

// refusals counts what all other nodes have refused.
func (b *box) refusals(but ...string) (n uint64) {
	for _, other := range b.followers(nil) {
		if !slices.Contains(but, other.id) {
			n += other.c.PeerRefusals()
		}
	}
	return n
}

// TestRemovedNodeFallsSilent: a removed node that runs on, and one that starts again, asks nobody any more once it knows
// that it was removed: the members count no further refusals.
func TestRemovedNodeFallsSilent(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	gone := b.followers(b.leader())[0]
	b.change("remove it", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, gone.id) })
	for _, again := range []bool{false, true} {
		if again {
			b.stop(gone.id)
			b.start(gone.id, nil)
		}
		until(t, "it knows", func() bool { return gone.c.peer.roster.left() != nil })
		before := b.refusals(gone.id)
		until(t, "its last calls have ended", func() bool {
			last := before
			before = b.refusals(gone.id)
			return before == last
		})
		for range 3 {
			for _, other := range b.voterIDs(b.leader().id) {
				if _, err := gone.c.Call(t.Context(), other, pathTerm, nil); !errors.Is(err, ErrRemoved) {
					t.Errorf("a call to %s: %v", other, err)
				}
			}
			b.propose(b.leader(), "more")
		}
		until(t, "it hears no leader", func() bool { _, known := gone.c.Leader(); return !known })
		if n := b.refusals(gone.id) - before; n != 0 {
			t.Errorf("restarted %t: %d refusals after it knew", again, n)
		}
	}
}

// TestUncommittedRemovalTellsNobody: a node whose removal is stored and not committed is no stranger.
func TestUncommittedRemovalTellsNobody(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	lead := b.leader()
	f := b.followers(lead)
	for _, n := range f {
		until(t, "the leader hears "+n.id, func() bool { _, alive := lead.c.watchdog.progress(n.id); return alive })
	}
	b.isolate(lead.id, true)
	ctx := short(t, 100*time.Millisecond)
	if err := lead.c.Remove(ctx, f[0].id); err == nil {
		t.Fatal("removed without a majority")
	}
	if len(lead.c.Configuration().Voters) != 2 {
		t.Error("the removal is not stored")
	}
	b.leader(lead.id)
	b.isolate(lead.id, false)
	last := b.propose(b.leader(lead.id), "y")
	until(t, "all have it", func() bool { return f[0].fsm.at(last) == "y" && f[1].fsm.at(last) == "y" && lead.fsm.at(last) == "y" })
	for _, n := range []*node{lead, f[0], f[1]} {
		if now := n.c.Configuration(); len(now.Voters) != 3 {
			t.Errorf("%s has the voters %v", n.id, now.Voters)
		}
		if err := n.c.Standing(); err != nil {
			t.Errorf("%s: %v", n.id, err)
		}
	}
}

// TestRefusedChanges: a change that would endanger the cluster changes nothing, and the error says why.
func TestRefusedChanges(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	lead := b.leader()
	f := b.followers(lead)
	heard := func(ids ...string) {
		for _, id := range ids {
			until(t, "the leader hears "+id, func() bool { _, alive := lead.c.watchdog.progress(id); return alive })
		}
	}
	heard(f[0].id, f[1].id)
	other := lead.c.cfg.addrOf(f[0].id)
	waits := b.joins("n4")
	for name, s := range map[string]struct {
		do   func(ctx context.Context) error
		want error
	}{
		"the leader itself":   {func(ctx context.Context) error { return lead.c.Remove(ctx, lead.id) }, ErrLeads},
		"an unknown node":     {func(ctx context.Context) error { return lead.c.Remove(ctx, "n9") }, ErrUnknownNode},
		"promote an unknown":  {func(ctx context.Context) error { return lead.c.Promote(ctx, "n9") }, ErrUnknownNode},
		"address of another":  {func(ctx context.Context) error { return lead.c.AddLearner(ctx, "n4", other) }, ErrAddressUsed},
		"move to another's":   {func(ctx context.Context) error { return lead.c.SetAddress(ctx, f[1].id, other) }, ErrAddressUsed},
		"an id in use":        {func(ctx context.Context) error { return lead.c.AddLearner(ctx, f[0].id, "127.0.0.1:1") }, ErrIDUsed},
		"a bad id":            {func(ctx context.Context) error { return lead.c.AddLearner(ctx, "a b", "127.0.0.1:1") }, ErrBadMember},
		"a bad address":       {func(ctx context.Context) error { return lead.c.AddLearner(ctx, "n4", "nowhere") }, ErrBadAddress},
		"no port":             {func(ctx context.Context) error { return lead.c.SetAddress(ctx, f[1].id, "127.0.0.1:") }, ErrBadAddress},
		"a name for a port":   {func(ctx context.Context) error { return lead.c.SetAddress(ctx, f[1].id, "127.0.0.1:http") }, ErrBadAddress},
		"a port too high":     {func(ctx context.Context) error { return lead.c.SetAddress(ctx, f[1].id, "127.0.0.1:65536") }, ErrBadAddress},
		"no host":             {func(ctx context.Context) error { return lead.c.SetAddress(ctx, f[1].id, ":9441") }, ErrBadAddress},
		"nobody there":        {func(ctx context.Context) error { return lead.c.AddLearner(ctx, "n5", "127.0.0.1:1") }, ErrNoAnswer},
		"another node there":  {func(ctx context.Context) error { return lead.c.AddLearner(ctx, "n5", waits.c.cfg.addrOf("n4")) }, ErrNoAnswer},
		"on a follower":       {func(ctx context.Context) error { return f[0].c.Remove(ctx, f[1].id) }, ErrNotLeader},
		"hand over to nobody": {func(ctx context.Context) error { _, err := lead.c.Transfer(ctx, "n9"); return err }, ErrNotVoter},
		"hand over to itself": {func(ctx context.Context) error { _, err := lead.c.Transfer(ctx, lead.id); return err }, ErrNotVoter},
	} {
		before := lead.c.Configuration().Index
		if err := s.do(short(t, 10*time.Second)); !errors.Is(err, s.want) {
			t.Errorf("%s: %v, want %v", name, err, s.want)
		}
		if lead.c.Configuration().Index != before {
			t.Errorf("%s: the configuration changed", name)
		}
	}
	b.stop(f[0].id)
	until(t, "the leader misses it", func() bool { _, alive := lead.c.watchdog.progress(f[0].id); return !alive })
	if err := lead.c.Remove(short(t, 5*time.Second), f[1].id); !errors.Is(err, ErrTooFewLeft) {
		t.Errorf("the last one that answers: %v", err)
	}
	b.change("remove the lost one", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, f[0].id) })
	b.change("remove the other one", func(ctx context.Context, c *Cluster) error {
		if c != lead.c {
			t.Fatal("another one leads")
		}
		return c.Remove(ctx, f[1].id)
	})
	if err := lead.c.Remove(short(t, 5*time.Second), lead.id); !errors.Is(err, ErrLastVoter) {
		t.Errorf("the last voter: %v", err)
	}
	b.propose(lead, "alone")
}

// TestLostVoterThatJoins: a voter that lost its directory is refused when it joins, also by a member that never met it.
func TestLostVoterThatJoins(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.net.set("n1", "n3", true)
	b.startAll()
	b.propose(b.leader(), "x")
	b.stop("n3")
	b.stop("n2")
	n := b.nodes["n3"]
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
	n.logs, n.fsm, n.join = newMemLog(), newMemFSM(), true
	until(t, "n1 leads no more", func() bool { _, leads := b.nodes["n1"].c.IsLeader(); return !leads })
	b.net.set("n1", "n3", false)
	if _, err := b.open("n3", nil); !errors.Is(err, ErrLostLog) {
		t.Errorf("n3 joins: %v", err)
	}
	if _, ok := b.nodes["n1"].c.IsLeader(); ok {
		t.Error("n1 leads with the voice of the lost one")
	}
}

// TestJoinAgain: a node that waits may be started again before it is added, with or without an answer, and after that.
func TestJoinAgain(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	last := b.propose(b.leader(), "x")
	n4 := b.joins("n4")
	b.stop("n4")
	b.start("n4", nil)
	b.grow("n4")
	until(t, "n4 has it", func() bool { return n4.fsm.at(last) == "x" })
	b.stop("n4")
	b.start("n4", nil)
	last = b.propose(b.leader(), "y")
	until(t, "n4 has it", func() bool { return n4.fsm.at(last) == "y" })
	b.stop("n4")
	n4.logs = newMemLog()
	if _, err := b.open("n4", nil); err == nil {
		t.Error("n4 starts without its log")
	}
}

// TestTransferOfLeadership: leadership moves to the named voter, or to any, and proposals go on there.
func TestTransferOfLeadership(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	for i := range 6 {
		lead := b.leader()
		to := ""
		if i%2 == 0 {
			to = b.followers(lead)[i/2%2].id
		}
		until(t, "the followers are heard", func() bool {
			_, one := lead.c.watchdog.progress(b.followers(lead)[0].id)
			_, two := lead.c.watchdog.progress(b.followers(lead)[1].id)
			return one && two
		})
		got, err := lead.c.Transfer(short(t, 10*time.Second), to)
		if err != nil || got == lead.id || to != "" && got != to {
			t.Fatalf("from %s to %q: %q, %v", lead.id, to, got, err)
		}
		b.propose(b.leader(), "y")
	}
}

// TestSetAddress: a member that moved is reached at its new address by members whose settings name the old one.
func TestSetAddress(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	lead := b.leader()
	moved := b.followers(lead)[0]
	b.stop(moved.id)
	ln := b.listen()
	moved.ln = ln
	addr := ln.Addr().String()
	b.change("move", func(ctx context.Context, c *Cluster) error { return c.SetAddress(ctx, moved.id, addr) })
	b.start(moved.id, func(c *Config) { c.PeerAdvertise = addr })
	last := b.propose(b.leader(), "y")
	until(t, "it takes part", func() bool { return moved.fsm.at(last) == "y" })
	for _, n := range b.followers(nil) {
		if m, _ := n.c.members.now().member(moved.id); m.PeerAddr != addr || !m.Votes() {
			t.Errorf("%s: %+v", n.id, m)
		}
	}
}
