package cluster

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// resend sends a follower again what it has, as the replication goroutine of the leader would. Like Raft it tries once more
// after a pooled connection has broken.
func resend(t *testing.T, lead *node, to string) <-chan error {
	t.Helper()
	var last raft.Log
	if err := lead.logs.GetLog(lead.c.raft.Load().LastIndex(), &last); err != nil {
		t.Fatal(err)
	}
	term, _ := lead.c.IsLeader()
	own := []byte(lead.c.cfg.addrOf(lead.id))
	req := &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(lead.id), Addr: own},
		Term:         term,
		PrevLogEntry: last.Index,
		PrevLogTerm:  last.Term,
	}
	trans, addr := lead.c.trans, raft.ServerAddress(lead.c.cfg.addrOf(to))
	done := make(chan error, 1)
	go func() {
		var err error
		for range 5 {
			err = trans.AppendEntries(raft.ServerID(to), addr, req, &raft.AppendEntriesResponse{})
			if err == nil || errors.Is(err, errAway) {
				break
			}
		}
		done <- err
	}()
	return done
}

// result waits for the end of a request.
func result(t *testing.T, done <-chan error) (err error) {
	t.Helper()
	until(t, "the end of a request", func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	return err
}

// TestReplicationWaitsForPeers: entries for a peer that is away arrive as soon as it is back. The request waits as long as
// the node leads in its term, and heartbeats do not wait.
func TestReplicationWaitsForPeers(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	away := b.followers(lead)[0]
	b.net.set(lead.id, away.id, true)
	before := b.net.tries(lead.id, away.id)
	done := resend(t, lead, away.id)
	until(t, "many attempts", func() bool { return b.net.tries(lead.id, away.id) > before+6 })
	select {
	case err := <-done:
		t.Fatalf("gave up while the peer is away: %v", err)
	default:
	}
	term, _ := lead.c.IsLeader()
	beat := &raft.AppendEntriesRequest{Term: term}
	addr := raft.ServerAddress(lead.c.cfg.addrOf(away.id))
	if err := lead.c.trans.AppendEntries(raft.ServerID(away.id), addr, beat, &raft.AppendEntriesResponse{}); err == nil {
		t.Error("a heartbeat arrived")
	}
	index := b.propose(lead, "y")
	b.net.set(lead.id, away.id, false)
	if err := result(t, done); err != nil {
		t.Errorf("the peer is back: %v", err)
	}
	until(t, "the entry on the peer", func() bool { return away.fsm.at(index) == "y" })
}

// TestReplicationStopsWithTheTerm: a request for a peer that is away ends with an error when another node leads, and when
// the node stops.
func TestReplicationStopsWithTheTerm(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	b.isolate(lead.id, true)
	done := resend(t, lead, b.followers(lead)[0].id)
	if err := result(t, done); !errors.Is(err, errAway) {
		t.Errorf("after the loss of the majority: %v", err)
	}
	b.isolate(lead.id, false)
	lead = b.leader()
	until(t, "a commit", func() bool { return lead.c.CommitIndex() > 0 })
	away := b.followers(lead)[0]
	b.net.set(lead.id, away.id, true)
	done = resend(t, lead, away.id)
	b.stop(lead.id)
	if err := result(t, done); err == nil {
		t.Error("the node stopped, and the peer answered")
	}
}
