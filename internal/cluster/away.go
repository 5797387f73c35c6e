package cluster

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// errAway means that no connection to a peer could be made.
var errAway = errors.New("cluster: peer cannot be reached")

// Pauses between the attempts to reach a peer for replication.
const (
	firstAwayPause = 20 * time.Millisecond
	lastAwayPause  = 500 * time.Millisecond
)

// isHeartbeat tells a heartbeat from a request of the replication goroutine, which always has a previous entry or
// entries.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && len(req.Entries) == 0
}

// appendEntries sends one request and reports the result to the watchdog. While no connection can be made, it sends
// the request of a replication goroutine again and again, because Raft itself pauses twice as long after every
// failure, up to ten seconds: a node that was away for half a minute would get no entries for that long after its
// return. It does the same for a node that holds entries back. Raft takes the wait for a slow network. It ends when
// this node does not lead in the term of the request any more, or stops, or has removed the peer.
func (t *transport) appendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	pause := firstAwayPause
	for {
		err := t.NetworkTransport.AppendEntries(id, target, req, resp)
		t.c.watchdog.onAppend(string(id), req, resp.Success, err)
		again := (errors.Is(err, errAway) || isHeld(err)) && !isHeartbeat(req) && t.c.peer.knows(string(id))
		if !again || !t.rest(pause, req.Term) {
			return err
		}
		pause = min(2*pause, lastAwayPause)
	}
}

// rest waits and reports whether this node still leads in a term. It returns at once when the node stops.
func (t *transport) rest(pause time.Duration, term uint64) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		now, leads := t.c.IsLeader()
		return leads && now == term
	case <-t.c.stop.Done():
	case <-t.done:
	}
	return false
}
