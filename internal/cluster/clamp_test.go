package cluster

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// puppet is a peer without Raft: it speaks for a member through the real peer port and transport.
func (b *box) puppet(id string) *transport {
	b.t.Helper()
	n := b.nodes[id]
	cfg := b.config(id)
	cfg.setDefaults()
	cfg.self = newIdentity(&cfg)
	port, err := newPeerPort(&cfg, founded(cfg.Voters))
	if err == nil {
		port.roster, err = newRoster(&cfg, port.members, func() (last, commit uint64) { return 1, 1 })
	}
	if err := errors.Join(err, os.MkdirAll(cfg.Dir, 0o700), port.listen()); err != nil {
		b.t.Fatal(err)
	}
	n.ln = nil
	c := &Cluster{cfg: cfg, log: cfg.Logger, logs: &configLog{LogStore: n.logs}, members: port.members, peer: port}
	c.stop, c.stopNow = b.t.Context(), func() {}
	c.watchdog = newWatchdog(c)
	tr := newTransport(c)
	c.wg.Go(port.serve)
	b.t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			b.t.Error(err)
		}
		port.close()
		c.wg.Wait()
	})
	return tr
}

// appendTo sends one AppendEntries as a leader of the term would.
func (t *transport) appendTo(tt *testing.T, to Voter, term, prev, prevTerm, commit uint64, data ...string) *raft.AppendEntriesResponse {
	tt.Helper()
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(t.c.cfg.NodeID), Addr: []byte(t.c.cfg.PeerAdvertise)},
		Term:      term, PrevLogEntry: prev, PrevLogTerm: prevTerm, LeaderCommitIndex: commit,
	}
	for i, d := range data {
		req.Entries = append(req.Entries, &raft.Log{Index: prev + 1 + uint64(i), Term: term, Type: raft.LogCommand, Data: []byte(d)})
	}
	var resp raft.AppendEntriesResponse
	if err := t.NetworkTransport.AppendEntries(raft.ServerID(to.ID), raft.ServerAddress(to.PeerAddr), req, &resp); err != nil {
		tt.Fatalf("append: %v", err)
	}
	return &resp
}

// staleSuffix plays the sequence that the library gets wrong. n1 is cut off as leader of term 2 with three entries that
// nobody else has (here: its followers' view, written by n2). n2 then leads in term 3; its replicator to n1 read the last
// index before its back-off and the commit index after it, so n1's first message says "previous entry 1, nothing new,
// committed up to 2" while n1 holds other entries there.
func staleSuffix(t *testing.T, clampOff bool) (applied map[string]bool, clamped uint64) {
	b := newBox(t, "n1", "n2", "n3")
	// An election must not interfere: n1 hears from its puppet leader far more often than this.
	c := b.start("n1", func(cfg *Config) { cfg.Timings.Heartbeat = 30 * time.Second; cfg.noClamp = clampOff })
	n2, n1 := b.puppet("n2"), b.voters[0]
	if r := n2.appendTo(t, n1, 2, 1, 1, 1, "stale 2", "stale 3", "stale 4"); !r.Success || r.Term != 2 {
		t.Fatalf("suffix refused: %+v", r)
	}
	if r := n2.appendTo(t, n1, 3, 1, 1, 2); !r.Success {
		t.Fatalf("empty append refused: %+v", r)
	}
	fsm := b.nodes["n1"].fsm
	if clampOff {
		until(t, "the library applies a stale entry", func() bool { return len(fsm.values()) > 0 })
		return fsm.values(), c.Counts().Clamped
	}
	if r := n2.appendTo(t, n1, 3, 1, 1, 3, "true 2", "true 3"); !r.Success {
		t.Fatalf("true entries refused: %+v", r)
	}
	until(t, "the true entries are applied", func() bool { return fsm.at(3) == "true 3" })
	return fsm.values(), c.Counts().Clamped
}

func TestStaleSuffixIsNeverApplied(t *testing.T) {
	applied, clamped := staleSuffix(t, false)
	for v := range applied {
		if v != "true 2" && v != "true 3" {
			t.Errorf("applied %q, which was never committed", v)
		}
	}
	if clamped != 1 {
		t.Errorf("%d requests clamped, want 1", clamped)
	}
}

// TestLibraryAppliesStaleSuffixWithoutClamp shows that the test above can fail. When it does not apply the entry any more,
// the library was repaired.
func TestLibraryAppliesStaleSuffixWithoutClamp(t *testing.T) {
	applied, _ := staleSuffix(t, true)
	if !applied["stale 2"] {
		t.Errorf("applied %v", applied)
	}
}

func TestClampCommit(t *testing.T) {
	entries := func(n int) []*raft.Log { return make([]*raft.Log, n) }
	for _, c := range []struct {
		prev    uint64
		n       int
		commit  uint64
		want    uint64
		clamped bool
	}{{0, 0, 0, 0, false}, {5, 0, 4, 4, false}, {5, 0, 6, 5, true}, {5, 2, 7, 7, false}, {5, 2, 9, 7, true}} {
		req := &raft.AppendEntriesRequest{PrevLogEntry: c.prev, Entries: entries(c.n), LeaderCommitIndex: c.commit}
		if got := clampCommit(req, false); got != c.clamped || req.LeaderCommitIndex != c.want {
			t.Errorf("%+v: clamped %v to %d", c, got, req.LeaderCommitIndex)
		}
	}
}

func TestTransportRefusesSnapshotsAndPipelines(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n1", nil)
	n2, to := b.puppet("n2"), b.voters[0]
	req := &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("n2"), Addr: []byte(b.voters[1].PeerAddr)}, SnapshotVersion: 1, Term: 9, LastLogIndex: 99, LastLogTerm: 9}
	if err := n2.InstallSnapshot("n1", raft.ServerAddress(to.PeerAddr), req, &raft.InstallSnapshotResponse{}, nil); err == nil {
		t.Error("a snapshot was sent")
	}
	err := n2.NetworkTransport.InstallSnapshot("n1", raft.ServerAddress(to.PeerAddr), req, &raft.InstallSnapshotResponse{}, strings.NewReader(""))
	if err == nil {
		t.Error("a snapshot was taken")
	}
	if term := b.nodes["n1"].c.Term(); term >= 9 {
		t.Errorf("the snapshot reached Raft: term %d", term)
	}
	if _, err := n2.AppendEntriesPipeline("n1", raft.ServerAddress(to.PeerAddr)); err == nil {
		t.Error("pipelining is on")
	}
	var _ raft.WithPreVote = n2
}
