package cluster

import (
	"errors"
	"sync"
	"time"
)

var errUnfit = errors.New("cluster: held back, this node cannot take what is submitted and others can")

// queryFitness is the body of a term question that also asks whether the voter is fit to lead. Earlier releases do
// not read it.
var queryFitness = []byte{1}

// A node that yields waits yieldFor, in election timeouts, for another leader. If there is none, for example
// because the fit voters cannot reach each other or lack entries, it stands for election for standFor before it
// yields again.
const (
	yieldFor = 6
	standFor = 12
)

// fitness tracks which voters are fit to lead, and whether this node yields.
type fitness struct {
	mu    sync.Mutex
	heard map[string]time.Time // by voter, the last question that it answered with fit
	since time.Time            // start of the current yield while no other node leads, or zero
}

// note records a voter's response to a question sent at that time. A response of an earlier release counts as
// not fit.
func (f *fitness) note(id string, sent time.Time, answer []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard == nil {
		f.heard = map[string]time.Time{}
	}
	if len(answer) == termResponseSize+len(queryFitness) && answer[termResponseSize] != 0 {
		f.heard[id] = sent
	} else {
		delete(f.heard, id)
	}
}

// others counts those of the voters that reported within a time before now that they are fit.
func (f *fitness) others(voters *configuration, now time.Time, within time.Duration) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, at := range f.heard {
		if voters.votes(id) && now.Sub(at) <= within {
			n++
		}
	}
	return n
}

// yields decides whether this node yields. could means that others can replace it, led that another one leads.
func (f *fitness) yields(now time.Time, could, led bool, election time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !could || led {
		f.since = time.Time{}
		return could
	}
	if f.since.IsZero() {
		f.since = now
	}
	return now.Sub(f.since)%((yieldFor+standFor)*election) < yieldFor*election
}

// fit reports whether this node can work as leader.
func (c *Cluster) fit() bool {
	return (c.cfg.Unfit == nil || !c.cfg.Unfit()) && !c.pending.refusing() && !c.Clock().Off()
}

// Yielding reports whether this node is not fit to lead while a majority of all voters, without this node,
// reported within the last two election timeouts that they are fit. It then proposes nothing and holds back
// heartbeats and requests for votes, so that another node leads. It still stores entries and votes. If too few
// others are fit, it leads as well as it can.
func (c *Cluster) Yielding() bool {
	now, election := time.Now(), c.cfg.Timings.Election
	members := c.members.now()
	could := c.cfg.Unfit != nil && c.cfg.Unfit() &&
		c.fitness.others(members, now, 2*election) >= members.majority()
	leader, ok := c.Leader()
	return c.fitness.yields(now, could, ok && leader != c.cfg.NodeID, election)
}
