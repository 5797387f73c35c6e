package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// Status is a snapshot for people. CommitIndex is zero after a restart until a leader is heard.
type Status struct {
	State       string // Follower, Candidate, Leader, Shutdown
	Leader      string // "" if none is known
	Term        uint64
	Members     []Member
	CommitIndex uint64
	LastIndex   uint64
	LastContact time.Time // zero on the leader, or if no leader was ever heard
}

// Counts are event counts since the process started, for metrics.
type Counts struct {
	Clamped    uint64 // AppendEntries that claimed a commit index beyond what they carried
	Held       uint64 // heartbeats that this leader held back because its disk hangs
	ReadRounds uint64 // rounds in which a majority confirmed this leader for linearizable reads
	Reads      uint64 // reads that these rounds served
}

// Leader returns the id of the leader as far as this node knows.
func (c *Cluster) Leader() (id string, ok bool) {
	r := c.raft.Load()
	if r == nil {
		return "", false
	}
	_, sid := r.LeaderWithID()
	return string(sid), sid != ""
}

// IsLeader returns the term in which this node believes to lead. Only ReadIndex proves leadership.
func (c *Cluster) IsLeader() (term uint64, ok bool) {
	r := c.raft.Load()
	if r == nil {
		return 0, false
	}
	// Terms only grow and Raft leaves the Leader state before it takes a new term, so two equal reads around
	// the state belong to one leadership.
	term = r.CurrentTerm()
	if r.State() != raft.Leader || r.CurrentTerm() != term {
		return 0, false
	}
	return term, true
}

// Term returns this node's current term, or 0 before Start.
func (c *Cluster) Term() uint64 {
	if r := c.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// CommitIndex returns the commit index that Raft knows, or 0 before Start. It starts at zero in every process.
func (c *Cluster) CommitIndex() uint64 {
	if r := c.raft.Load(); r != nil {
		return r.CommitIndex()
	}
	return 0
}

// LastContact returns the time at which this follower last heard its leader, or zero.
func (c *Cluster) LastContact() time.Time {
	if r := c.raft.Load(); r != nil {
		return r.LastContact()
	}
	return time.Time{}
}

// Counts returns the counts since the process started. It may be called at any time.
func (c *Cluster) Counts() Counts {
	return Counts{
		Clamped:    c.counts.clamped.Load(),
		Held:       c.counts.held.Load(),
		ReadRounds: c.counts.rounds.Load(),
		Reads:      c.counts.reads.Load(),
	}
}

// Status returns a snapshot for operators.
func (c *Cluster) Status() Status {
	r := c.raft.Load()
	if r == nil {
		return Status{State: "Stopped"}
	}
	leader, _ := c.Leader()
	s := Status{State: r.State().String(), Leader: leader, Term: r.CurrentTerm(), CommitIndex: r.CommitIndex(),
		LastIndex: r.LastIndex(), LastContact: r.LastContact()}
	s.Members = c.Configuration().Members
	return s
}
