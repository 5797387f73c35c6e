package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// holds makes one more node that joins and holds entries back, and starts it.
func (b *box) holds(id string) *node {
	b.t.Helper()
	n := b.add(id)
	n.join = true
	b.start(id, func(c *Config) { c.HoldEntries = true })
	return n
}

func (b *box) addLearner(id string) {
	b.t.Helper()
	addr := b.nodes[id].c.cfg.PeerAdvertise
	b.change("add "+id, func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, id, addr) })
}

// TestHeldEntries: a node that holds entries back learns that it was added and stores nothing. With a log that others
// put in place it goes on from there, is promoted, and its vote counts.
func TestHeldEntries(t *testing.T) {
	b := newBox(t, "n1").startAll()
	lead := b.leader()
	for range 20 {
		b.propose(lead, "x")
	}
	n := b.holds("n4")
	if !n.c.Hold().Closed() {
		t.Fatal("n4 takes entries")
	}
	select {
	case <-n.c.Hold().Added():
		t.Fatal("added before it was added")
	default:
	}
	b.addLearner("n4")
	<-n.c.Hold().Added()
	if joining, err := Joining(n.dir); !joining || err != nil {
		t.Errorf("joining %v, %v", joining, err)
	}
	if last, err := n.logs.LastIndex(); last != 0 || err != nil {
		t.Fatalf("stored %d, %v", last, err)
	}
	b.stop("n4")
	b.copyLog(lead, n)
	b.start("n4", func(c *Config) { c.HoldEntries = true })
	if n.c.Hold().Closed() {
		t.Error("n4 holds back what follows its log")
	}
	if joining, err := Joining(n.dir); joining || err != nil {
		t.Errorf("joining %v, %v", joining, err)
	}
	if term := n.c.Term(); term == 0 {
		t.Error("term 0")
	}
	last := b.propose(lead, "y")
	until(t, "n4 has it", func() bool { return n.fsm.at(last) == "y" })
	b.grow("n4")
	last = b.propose(b.leader(), "z")
	until(t, "n4 has it", func() bool { return n.fsm.at(last) == "z" })
}

// copyLog copies the entries of one node to another one, up to the last one that is applied.
func (b *box) copyLog(from, to *node) {
	b.t.Helper()
	last, _, _, _ := from.fsm.Meta()
	for i := uint64(1); i <= last; i++ {
		var e raft.Log
		if err := from.logs.GetLog(i, &e); err != nil {
			b.t.Fatal(err)
		}
		if err := to.logs.StoreLogs([]*raft.Log{&e}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestReleasedEntries: after a release Raft replicates as to every other node.
func TestReleasedEntries(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	last := b.propose(b.leader(), "x")
	n := b.holds("n4")
	b.addLearner("n4")
	<-n.c.Hold().Added()
	n.c.Hold().Release()
	until(t, "n4 has it", func() bool { return n.fsm.at(last) == "x" })
	if n.c.Hold().Closed() {
		t.Error("n4 still holds")
	}
}

// TestNoVoteWhileHolding: a node that holds entries back grants no vote and starts no election.
func TestNoVoteWhileHolding(t *testing.T) {
	b := newBox(t, "n1").startAll()
	lead := b.leader()
	n := b.holds("n4")
	trans := lead.c.trans.NetworkTransport
	last, _ := lead.logs.LastIndex()
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(lead.id), Addr: []byte(lead.id)}
	lead.c.peer.foundMu.Lock()
	lead.c.peer.found["n4"] = n.c.cfg.PeerAdvertise
	lead.c.peer.foundMu.Unlock()
	errs := map[string]error{
		"a vote": trans.RequestVote("n4", "n4", &raft.RequestVoteRequest{RPCHeader: header, Term: 99, LastLogIndex: last,
			LastLogTerm: 99}, &raft.RequestVoteResponse{}),
		"a vote in advance": trans.RequestPreVote("n4", "n4", &raft.RequestPreVoteRequest{RPCHeader: header, Term: 99,
			LastLogIndex: last, LastLogTerm: 99}, &raft.RequestPreVoteResponse{}),
		"an election": trans.TimeoutNow("n4", "n4", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}),
	}
	for what, err := range errs {
		if err == nil || err.Error() != errHeld.Error() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if term, voted, err := readStable(n.c.stable); term != 0 || voted != 0 || err != nil {
		t.Errorf("term %d, voted in %d, %v", term, voted, err)
	}
}

// TestVotedNodeTakesNoForeignTerm: the term of a log that was put in place counts only for a node that has never voted.
func TestVotedNodeTakesNoForeignTerm(t *testing.T) {
	b := newBox(t, "n1").startAll()
	b.propose(b.leader(), "x")
	n := b.holds("n4")
	b.stop("n4")
	stable, err := openStable(n.dir + "/stable/" + stableName)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stable.SetUint64(keyVoteTerm, 1), stable.Close()); err != nil {
		t.Fatal(err)
	}
	b.copyLog(b.leader(), n)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := b.open("n4", nil)
	if !errors.Is(err, ErrInconsistent) {
		t.Errorf("opened: %v", err)
	}
	if c != nil {
		_ = c.Close(ctx)
	}
}
