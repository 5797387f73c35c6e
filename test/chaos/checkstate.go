package main

import (
	"fmt"
	"slices"
	"time"
)

// checkStates holds what the nodes say in the end against each other and against what the clients were told.
func checkStates(states []state, calls []call, began time.Time) (out []violation) {
	fail := func(format string, args ...any) {
		out = append(out, violation{what: fmt.Sprintf(format, args...)})
	}
	for _, s := range states {
		for _, seq := range s.holes {
			fail("node-%d holds no event %d of %d", s.node+1, seq, s.top)
		}
		if !slices.IsSortedFunc(s.list, func(a, b entry) int { return int(int64(a.seq) - int64(b.seq)) }) {
			fail("the list of node-%d is not in order", s.node+1)
		}
		if d := firstDifference(states[0].list, s.list); d != "" {
			fail("node-%d and node-%d list different events: %s", states[0].node+1, s.node+1, d)
		}
		for i := 1; i < len(s.list); i++ {
			if s.list[i].seq == s.list[i-1].seq {
				fail("node-%d lists event %d twice", s.node+1, s.list[i].seq)
			}
			if s.list[i].at.Before(s.list[i-1].at) {
				fail("node-%d: log time goes back at event %d", s.node+1, s.list[i].seq)
			}
		}
		out = append(out, checkPresent(s, calls)...)
		out = append(out, checkTimes(s, calls, began)...)
	}
	return out
}

func firstDifference(a, b []entry) string {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) {
			return fmt.Sprintf("%d and %d of them", len(a), len(b))
		}
		if a[i] != b[i] {
			return fmt.Sprintf("%+v and %+v", a[i], b[i])
		}
	}
	return ""
}

// checkPresent: what a client was told stands in the list and in the answer of the node.
func checkPresent(s state, calls []call) (out []violation) {
	bySeq, firsts := map[uint64]entry{}, map[string]uint64{}
	for _, e := range s.list {
		bySeq[e.seq] = e
		if e.first == 0 || e.first == e.seq {
			if other, ok := firsts[e.id]; ok && e.outcome != "refused" {
				what := fmt.Sprintf("node-%d: events %d and %d are both the first of %s", s.node+1, other, e.seq, e.id)
				out = append(out, violation{what: what})
			}
			firsts[e.id] = e.seq
		}
	}
	seen := map[int32]bool{}
	for _, c := range calls {
		if c.seq == 0 || seen[c.id] {
			continue
		}
		seen[c.id] = true
		id := pcsID(c.id)
		outcome := "accepted"
		if c.escal {
			outcome = "escalated"
		}
		if e, ok := bySeq[c.seq]; !ok || e.id != id || e.outcome != outcome {
			what := fmt.Sprintf("node-%d: event %d is %+v and not what was acknowledged", s.node+1, c.seq, e)
			out = append(out, violation{what, []call{c}})
		}
		if got, ok := s.lookup[id]; !ok || got != (told{c.seq, c.escal}) {
			what := fmt.Sprintf("node-%d says %+v (known: %t) of an acknowledged record", s.node+1, got, ok)
			out = append(out, violation{what, []call{c}})
		}
	}
	return out
}

// skew bounds the distance of log time from the wall clock of this machine: what two voters may differ by, and what a call waits.
const skew = 15 * time.Second

// checkTimes: whatever the clocks of single nodes do, the log time of an event is near the moment at which it was sent.
func checkTimes(s state, calls []call, began time.Time) (out []violation) {
	at := map[uint64]time.Time{}
	for _, e := range s.list {
		at[e.seq] = e.at
	}
	for _, c := range calls {
		got, ok := at[c.seq]
		if c.answer != first || !ok {
			continue
		}
		from, to := began.Add(time.Duration(c.from)-skew), began.Add(time.Duration(c.to)+skew)
		if got.Before(from) || got.After(to) {
			out = append(out, violation{fmt.Sprintf("node-%d: event %d has the log time %s and was sent at %s", s.node+1, c.seq,
				got.Format(time.RFC3339Nano), began.Add(time.Duration(c.from)).Format(time.RFC3339Nano)), []call{c}})
		}
	}
	return out
}
