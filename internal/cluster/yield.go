package cluster

import (
	"errors"
	"sync"
	"time"
)

var errUnfit = errors.New("cluster: held back, this node cannot take what is submitted and others can")

// askFit, as the question for a term, asks too whether the voter is fit to lead. Releases before do not read it.
var askFit = []byte{1}

// A node that yields waits this long, in election timeouts, for another leader. When there is none, as when the fit voters do
// not reach each other or lack entries, it stands again for the second time before it yields anew.
const (
	yieldFor = 6
	standFor = 12
)

// fitness is what this node knows of who is fit to lead, and whether it yields.
type fitness struct {
	mu    sync.Mutex
	heard map[string]time.Time // voters that said that they are fit: when they were asked last
	since time.Time            // when this node began to yield, while no other one leads; else zero
}

// note takes the answer of a voter to a question sent at a moment; one of an earlier release says nothing.
func (f *fitness) note(id string, sent time.Time, answer []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard == nil {
		f.heard = map[string]time.Time{}
	}
	if len(answer) == termAnswerSize+len(askFit) && answer[termAnswerSize] != 0 {
		f.heard[id] = sent
	} else {
		delete(f.heard, id)
	}
}

// others counts the voters that said within a time before now that they are fit.
func (f *fitness) others(now time.Time, within time.Duration) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.heard {
		if now.Sub(at) <= within {
			n++
		}
	}
	return n
}

// yields decides for a node that others could stand in for, or not; led says that another one leads.
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

// fit reports whether this node can do what a leader is for.
func (c *Cluster) fit() bool {
	return (c.cfg.Unfit == nil || !c.cfg.Unfit()) && !c.pending.refusing() && !c.Clock().Off()
}

// Yielding reports that this node is not fit to lead while a majority of all voters, without it, said within the last two
// election timeouts that they are. It proposes nothing then, and holds back heartbeats and requests for votes, so that another
// one leads; it stores and votes on. While too few others are fit it leads as it can: nobody could do better.
func (c *Cluster) Yielding() bool {
	now, election := time.Now(), c.cfg.Timings.Election
	could := c.cfg.Unfit != nil && c.cfg.Unfit() && c.fitness.others(now, 2*election) > len(c.cfg.Voters)/2
	leader, ok := c.Leader()
	return c.fitness.yields(now, could, ok && leader != c.cfg.NodeID, election)
}
