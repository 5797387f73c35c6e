package cluster

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	errStuckDisk  = errors.New("cluster: heartbeat held back, the local disk is stuck")
	errClock      = errors.New("cluster: held back, the clock of this node is off and others can lead")
	errNoSnapshot = errors.New("cluster: snapshots are never installed; seed the node")
)

// transport wraps Raft's network transport to avoid five defects of the library:
//   - A follower takes a leader's commit index up to its own last entry, so a stale suffix can be applied. transport
//     clamps every incoming AppendEntries to the last entry that it proves.
//   - The heartbeat fast path changes term and state beside Raft's main goroutine. transport never installs it.
//   - A leader with a hung disk leads permanently because heartbeats need no disk. transport holds them back while a
//     store hangs.
//   - Pipelining can deadlock. It is off.
//   - A leader pauses for up to ten seconds before it tries to reach a follower again. transport tries meanwhile.
//
// If this node's clock is off while a majority agrees on the time, or if this node yields, transport holds back
// heartbeats and requests for votes. Another node then leads, and this one continues as a follower.
type transport struct {
	*raft.NetworkTransport // gives RequestPreVote as well
	c                      *Cluster
	consumer               chan raft.RPC
	done                   chan struct{}
	once                   sync.Once
}

func newTransport(c *Cluster) *transport {
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: byID{}, Logger: newHCLog(c.log),
		Stream:  &streamLayer{subListener: c.peer.raft, port: c.peer, stop: c.stop},
		MaxPool: 3, MaxRPCsInFlight: 1, Timeout: c.cfg.rpcDeadline, MsgpackUseNewTimeFormat: true,
	})
	t := &transport{NetworkTransport: inner, c: c, consumer: make(chan raft.RPC), done: make(chan struct{})}
	c.wg.Go(t.pump)
	return t
}

// pump passes RPCs on to Raft, clamped.
func (t *transport) pump() {
	for {
		select {
		case <-t.done:
			return
		case rpc := <-t.NetworkTransport.Consumer():
			if !t.inspect(rpc) {
				continue
			}
			select {
			case t.consumer <- rpc:
			case <-t.done:
				return
			}
		}
	}
}

// inspect clamps the commit index of an AppendEntries. It responds itself to snapshot requests, and to all that a node
// holds back, and returns false then.
func (t *transport) inspect(rpc raft.RPC) bool {
	if t.c.hold.answer(rpc) {
		return false
	}
	switch req := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		if clampCommit(req, t.c.cfg.noClamp) {
			t.c.counts.clamped.Add(1)
		}
	case *raft.InstallSnapshotRequest:
		rpc.Respond(&raft.InstallSnapshotResponse{}, errNoSnapshot)
		return false
	}
	return true
}

// clampCommit bounds the leader's commit index by the last entry that the request itself proves. That is the
// Raft paper's "index of last new entry", where the library takes the follower's own last index.
func clampCommit(req *raft.AppendEntriesRequest, off bool) bool {
	last := req.PrevLogEntry + uint64(len(req.Entries))
	if off || req.LeaderCommitIndex <= last {
		return false
	}
	req.LeaderCommitIndex = last
	return true
}

// Consumer returns the channel of clamped requests.
func (t *transport) Consumer() <-chan raft.RPC { return t.consumer }

// SetHeartbeatHandler does nothing, so that heartbeats are handled like all other requests.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries holds back empty requests while the local disk hangs or this node must not lead, reports the result
// to the watchdog, and waits for peers that cannot be reached.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	if len(req.Entries) == 0 && t.diskStuck() {
		t.c.counts.held.Add(1)
		return errStuckDisk
	}
	if len(req.Entries) == 0 {
		if err := t.heldBack(); err != nil {
			return err
		}
	}
	return t.appendEntries(id, target, req, resp)
}

// RequestPreVote fails while this node must not lead.
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestPreVoteRequest,
	resp *raft.RequestPreVoteResponse) error {
	if err := t.heldBack(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestPreVote(id, target, req, resp)
}

// RequestVote fails while this node must not lead.
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestVoteRequest,
	resp *raft.RequestVoteResponse) error {
	if err := t.heldBack(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestVote(id, target, req, resp)
}

// heldBack returns why this node must not lead now.
func (t *transport) heldBack() error {
	switch {
	case t.c.peer.roster.removed() != nil:
		return errRemoved
	case t.c.Clock().Off():
		return errClock
	case t.c.Yielding():
		return errUnfit
	}
	return nil
}

func (t *transport) diskStuck() bool {
	since, busy := t.c.logs.StoreStarted()
	return busy && time.Since(since) > t.c.cfg.Timings.Election
}

// InstallSnapshot fails. The log is never compacted, so nobody needs a snapshot.
func (t *transport) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest,
	*raft.InstallSnapshotResponse, io.Reader) error {
	return errNoSnapshot
}

// Close ends the pump, the pooled connections and the transport.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.done) })
	t.NetworkTransport.CloseStreams()
	return t.NetworkTransport.Close()
}
