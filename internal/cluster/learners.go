package cluster

import (
	"fmt"
	"sync"
	"time"
)

// A learner is promoted only after it has stayed within keptUpEntries of the leader's log for keptUpFor.
const (
	keptUpEntries = 1000
	keptUpFor     = 10 * time.Second
)

// learners follows, on the leader, how long each member has kept up.
type learners struct {
	c *Cluster

	mu    sync.Mutex
	term  uint64
	since map[string]time.Duration // by member, the moment of Config.Elapsed since which it has kept up
}

func newLearners(c *Cluster) *learners { return &learners{c: c, since: map[string]time.Duration{}} }

// run looks from time to time until the cluster closes.
func (l *learners) run() {
	tick := time.NewTicker(max(l.c.cfg.Timings.Election/8, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.look()
		case <-l.c.stop.Done():
			return
		}
	}
}

func (l *learners) look() {
	term, leads := l.c.IsLeader()
	last := l.c.raft.Load().LastIndex()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !leads || term != l.term {
		clear(l.since)
		l.term = term
	}
	if !leads {
		return
	}
	for _, m := range l.c.members.now().members {
		match, alive := l.c.watchdog.progress(m.ID)
		_, before := l.since[m.ID]
		switch {
		case !alive || match == 0 || match+keptUpEntries < last: // who holds nothing is not far behind in a short log
			delete(l.since, m.ID)
		case !before:
			l.since[m.ID] = l.c.cfg.Elapsed()
		}
	}
}

// keptUp returns ErrNotCaughtUp with what is missing, or nil.
func (l *learners) keptUp(id string) error {
	l.look()
	match, alive := l.c.watchdog.progress(id)
	last := l.c.raft.Load().LastIndex()
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[id]
	switch kept := l.c.cfg.Elapsed() - since; {
	case !alive:
		return fmt.Errorf("%w: %s does not answer this leader", ErrNotCaughtUp, id)
	case !ok:
		return fmt.Errorf("%w: %s has %d of %d entries", ErrNotCaughtUp, id, match, last)
	case kept < keptUpFor:
		return fmt.Errorf("%w: %s has kept up for %s of %s", ErrNotCaughtUp, id, kept.Round(100*time.Millisecond), keptUpFor)
	}
	return nil
}

// Learner is the distance of a learner from the log of the leader.
type Learner struct {
	Lacks uint64 // entries of the leader's log that it does not hold
	Why   error  // why it cannot be promoted now, or nil

	Stalled time.Duration // for which it has taken no entry although it lacks some
}

// LearnersOf returns, on the leader, the distance of each learner. On other nodes it returns nil.
func LearnersOf(c *Cluster) map[string]Learner {
	if _, leads := c.IsLeader(); !leads {
		return nil
	}
	out := map[string]Learner{}
	for _, m := range c.members.now().members {
		if m.Votes() {
			continue
		}
		match, _ := c.watchdog.progress(m.ID)
		last := c.raft.Load().LastIndex()
		l := Learner{Lacks: last - min(match, last), Why: c.learners.keptUp(m.ID)}
		if l.Lacks > 0 {
			l.Stalled = c.watchdog.stalled(m.ID)
		}
		out[m.ID] = l
	}
	return out
}

// Progress returns, on the leader, the highest entry that a member is known to hold in this term, and whether it
// answers. On other nodes it returns zero and false.
func (c *Cluster) Progress(id string) (match uint64, alive bool) {
	if _, leads := c.IsLeader(); !leads {
		return 0, false
	}
	return c.watchdog.progress(id)
}
