// Package agreement finds out whether the voters of a cluster hold the same.
//
// Every node folds the same log, so two nodes that differ show that one of them is wrong: its memory, its disk
// or its release. A node asks the other voters about a matter when the log contradicts it, and from time to
// time without a reason:
//
//	Digest   the digests of log, state and control at an event
//	Facts    whether the signature facts of an event hold
//	History  what changed at an activation
//
// The majority decides:
//
//	a majority says the same      the question is settled
//	a majority says otherwise     this node is quarantined: it answers no client until somebody has examined it
//	some say otherwise, and
//	too few can be asked          this node is suspended: it answers no client until enough voters can be asked
//	nobody says otherwise         the question is settled, unless it insists on a majority
//
// A value in the log counts as the word of the voter that logged it while that one cannot be asked. The node is
// suspended from the moment at which it folds a value that contradicts its own.
//
// The package keeps the open questions and asks them. What a node says itself comes from the node (see Node).
// No file remembers a question: a node that starts again asks what it can see in its log.
package agreement

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxDoubts bounds the questions that are open at a time, and askedAtOnce those of one round.
const (
	maxDoubts   = 4096
	askedAtOnce = 32
)

// Doubts are the questions that are not settled. While another voter contradicts this node and neither has a
// majority, this node answers no client: one of the two is wrong, and nobody can tell which. No file remembers
// that. It ends by itself when enough voters can be asked.
type Doubts struct {
	node   Node
	voters *Voters

	mu     sync.Mutex
	open   map[Question]string // why this node is suspended, "" while nobody contradicts
	reason atomic.Pointer[string]
	raised chan struct{}
	told   map[Question][]string // what keeps an open question from being settled, as the journal has it

	dropped atomic.Uint64 // questions that were not asked: too many were open
	rounds  atomic.Uint64 // of questions
}

// New returns the doubts of a node that has none yet. Raise may be called before Run.
func New(node Node, voters *Voters) *Doubts {
	return &Doubts{
		node:   node,
		voters: voters,
		open:   map[Question]string{},
		told:   map[Question][]string{},
		raised: make(chan struct{}, 1),
	}
}

// Raise adds a question. A question that contradicts the log suspends this node at once. Raise does not wait, so that a fold
// can call it. It reports whether the question is open: there is a bound, and at that only one that suspends,
// or that has to stay open, takes the place of one that does not.
func (d *Doubts) Raise(q Question) bool {
	d.mu.Lock()
	_, ok := d.open[q]
	if !ok && (len(d.open) < maxDoubts || (q.Logged != "" || q.Insist) && d.makeRoom()) {
		d.open[q], ok = q.doubted(), true
		d.suspend()
	} else if !ok {
		d.dropped.Add(1)
	}
	d.mu.Unlock()
	select {
	case d.raised <- struct{}{}:
	default:
	}
	return ok
}

// makeRoom drops a question that suspends nobody and need not stay open. d.mu is held.
func (d *Doubts) makeRoom() bool {
	for q, why := range d.open {
		if why == "" && !q.Insist {
			delete(d.open, q)
			delete(d.told, q)
			d.dropped.Add(1)
			return true
		}
	}
	return false
}

// suspend finds a question for which this node answers no client. d.mu is held.
func (d *Doubts) suspend() {
	d.reason.Store(nil)
	for _, why := range d.open {
		if why != "" {
			d.reason.Store(&why)
			return
		}
	}
}

// note keeps a question open, for a reason to suspend or none, or removes it when settled. One that was dropped while
// the voters were asked comes back only when it suspends.
func (d *Doubts) note(q Question, settled bool, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch _, open := d.open[q]; {
	case settled:
		delete(d.open, q)
		delete(d.told, q)
	case open || why != "":
		d.open[q] = why
	}
	d.suspend()
}

// News reports whether the journal does not have yet what keeps a question from being settled.
func (d *Doubts) News(q Question, cause string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.told[q], cause) {
		return false
	}
	d.told[q] = append(d.told[q], cause)
	return true
}

// some are the questions of one round. Half of the round is for those that suspend this node, when there are so
// many: it must not wait for thousands of others before it may answer again, nor they for it.
func (d *Doubts) some() []Question {
	d.mu.Lock()
	defer d.mu.Unlock()
	var suspending, others []Question
	for q, why := range d.open {
		switch {
		case why != "" && len(suspending) < askedAtOnce:
			suspending = append(suspending, q)
		case why == "" && len(others) < askedAtOnce:
			others = append(others, q)
		}
	}
	first := min(len(suspending), max(askedAtOnce/2, askedAtOnce-len(others)))
	return append(suspending[:first], others[:min(len(others), askedAtOnce-first)]...)
}

// RaiseFolded adds a question about a digest that was folded from the log. Of a generation that is not active
// any more, a contradiction stops no node.
func (d *Doubts) RaiseFolded(q Question) bool { return d.Raise(d.overtaken(q)) }

// Suspended returns the reason why this node answers no client, "" when it does.
func (d *Doubts) Suspended() string {
	if reason := d.reason.Load(); reason != nil {
		return *reason
	}
	return ""
}

// Dropped counts the questions that were not asked because too many were open.
func (d *Doubts) Dropped() uint64 { return d.dropped.Load() }

// Rounds counts how often the open questions were asked.
func (d *Doubts) Rounds() uint64 { return d.rounds.Load() }

// Insists reports whether a question is open that waits for a majority.
func (d *Doubts) Insists() bool {
	return slices.ContainsFunc(d.some(), func(q Question) bool { return q.Insist })
}
