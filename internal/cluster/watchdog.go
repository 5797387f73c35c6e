package cluster

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// watchdog stops a node that cannot recover by itself: a hung disk, a leadership transfer that never ended, or
// a replication goroutine that no longer runs while heartbeats do.
type watchdog struct {
	c *Cluster

	mu            sync.Mutex
	transferSince time.Time // time since which every proposal got "transfer in progress", or zero
	peers         map[string]*peerProgress
	leading       uint64 // term in which peers was filled
}

type peerProgress struct {
	attempt   time.Time // end of the last AppendEntries of the replication goroutine
	heartbeat time.Time // last heartbeat that was answered
	match     uint64    // highest entry that the peer is known to hold
	grew      time.Time // when match last grew
}

func newWatchdog(c *Cluster) *watchdog { return &watchdog{c: c, peers: map[string]*peerProgress{}} }

// onProposal records the result of a proposal.
func (w *watchdog) onProposal(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		w.transferSince = time.Time{}
		return
	}
	if w.transferSince.IsZero() {
		w.transferSince = time.Now()
	}
}

// onAppend records the end of an outgoing AppendEntries. Heartbeats carry no previous entry. held says that the peer
// has taken the entries: one that lacks the entry before them answers, too, and holds none.
func (w *watchdog) onAppend(id string, req *raft.AppendEntriesRequest, held bool, err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[id]
	if p == nil || w.leading != req.Term {
		if w.leading != req.Term {
			w.peers, w.leading = map[string]*peerProgress{}, req.Term
		}
		p = &peerProgress{attempt: now, grew: now}
		w.peers[id] = p
	}
	if isHeartbeat(req) {
		if err == nil {
			p.heartbeat = now
		}
		return
	}
	p.attempt = now
	if last := req.PrevLogEntry + uint64(len(req.Entries)); err == nil && held && last > p.match {
		p.match, p.grew = last, now
	}
}

// progress returns the highest entry that a peer is known to hold in the last term in which this node led, and
// whether it answers.
func (w *watchdog) progress(id string) (match uint64, alive bool) {
	term := w.c.Term()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[id]
	if p == nil || w.leading != term {
		return 0, false
	}
	return p.match, time.Since(p.heartbeat) < 2*w.c.cfg.Timings.Election
}

// stalled returns how long a peer has taken no entry, 0 if nothing was sent to it in the last term in which this node
// led.
func (w *watchdog) stalled(id string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.peers[id]; p != nil {
		return time.Since(p.grew)
	}
	return 0
}

func (w *watchdog) run() {
	tick := time.NewTicker(min(time.Second, w.c.cfg.stuckLimit/4, w.c.cfg.Timings.Election))
	defer tick.Stop()
	for {
		select {
		case <-w.c.stop.Done():
			return
		case now := <-tick.C:
			if err := w.check(now); err != nil {
				w.c.fatal(err)
				return
			}
		}
	}
}

func (w *watchdog) check(now time.Time) error {
	if since, busy := w.c.logs.StoreStarted(); busy && now.Sub(since) > w.c.cfg.stuckLimit {
		return fmt.Errorf("cluster: the disk is stuck, a store has been running for %s",
			now.Sub(since).Round(time.Millisecond))
	}
	term, leading := w.c.IsLeader()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !leading {
		w.transferSince = time.Time{}
		return nil
	}
	if w.c.pending.refusing() { // our own transfer, just before the process ends
		return nil
	}
	if !w.transferSince.IsZero() && now.Sub(w.transferSince) > 5*w.c.cfg.Timings.Election {
		return fmt.Errorf("cluster: a leadership transfer has been in progress since %s; Raft will not propose again",
			w.transferSince.Format(time.RFC3339))
	}
	if w.leading != term {
		return nil
	}
	return w.checkPeers(now)
}

// checkPeers finds a peer that answers heartbeats and lacks entries although nothing tries to send them. The
// limit is above the library's longest pause between attempts (10 s).
func (w *watchdog) checkPeers(now time.Time) error {
	last := w.c.raft.Load().LastIndex()
	limit := max(15*w.c.cfg.Timings.Election, 30*time.Second)
	for id, p := range w.peers {
		if !w.c.peer.knows(id) {
			continue // removed
		}
		alive := now.Sub(p.heartbeat) < 2*w.c.cfg.Timings.Election
		if alive && p.match < last && now.Sub(p.attempt) > limit {
			return fmt.Errorf("cluster: replication to %s stands still at %d of %d since %s", id, p.match, last,
				p.attempt.Format(time.RFC3339))
		}
	}
	return nil
}
