package projections

import (
	"cmp"
	"slices"
)

// Began is the kind of event that put a policy in force.
type Began uint8

// The kinds of events that put a policy in force.
const (
	BeganGenesis    Began = iota // the ledger began with it
	BeganApplied                 // an operator applied it to new submissions
	BeganActivated               // a generation that judges by it was activated
	BeganRolledBack              // the previous generation, which judges by it, was activated again
)

// Interval is a part of the log in which one policy was in force: the first response to every submission from
// FromSeq on and before ToSeq was given under it. Both bounds are operators' events, so no submission has their
// numbers.
type Interval struct {
	Policy     [32]byte
	FromSeq    uint64 // the event that put it in force
	FromTime   int64  // its log time, Unix nanoseconds
	ToSeq      uint64 // the event that put another one in force, 0 while it is in force
	ToTime     int64
	Began      Began
	Generation uint32 // the active generation from FromSeq on
	Op         Op     // the operator, zero for the genesis
}

// applied is an operation that put a policy in force for new submissions.
type applied struct {
	seq     uint64
	logTime int64
	op      Op
}

// InForce lists the intervals of all policies in the order of the log. The policy in force at an event is the
// one by which the active generation judges the event. An operation that changes the generation but not the
// policy begins no interval.
func (c *Control) InForce() []Interval {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.genesis == nil {
		return nil
	}
	s := &c.sched
	operations := []Interval{{FromSeq: c.genesis.Seq, FromTime: s.generations[0].LogTime}}
	for _, a := range s.applied {
		operations = append(operations, Interval{FromSeq: a.seq, FromTime: a.logTime, Began: BeganApplied, Op: a.op})
	}
	for _, a := range s.activations {
		began := BeganActivated
		if a.Rollback {
			began = BeganRolledBack
		}
		operations = append(operations, Interval{FromSeq: a.Seq, FromTime: a.LogTime, Began: began, Op: a.Op})
	}
	slices.SortFunc(operations, func(a, b Interval) int { return cmp.Compare(a.FromSeq, b.FromSeq) })
	var out []Interval
	for _, i := range operations {
		i.Generation = s.active(i.FromSeq)
		p, _ := s.policyAt(i.Generation, i.FromSeq)
		i.Policy = p.ID
		if n := len(out); n > 0 {
			if out[n-1].Policy == i.Policy {
				continue
			}
			out[n-1].ToSeq, out[n-1].ToTime = i.FromSeq, i.FromTime
		}
		out = append(out, i)
	}
	return out
}
