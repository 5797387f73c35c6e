package fsm

import (
	"slices"

	"github.com/recount-ledger/recount/internal/event"
)

// MaxStep bounds how far one pack can move log time. A pack whose time is further ahead leaves log time
// unchanged, unless it is a clock step that a majority of the voters agreed on. The value is part of the fold
// rules and must never change.
const MaxStep int64 = 3_600_000_000_000 // an hour in nanoseconds

// timeOf returns the log time at a pack, given the log time before it. first means that no event came before:
// the ledger takes the time of its first pack as it is.
func timeOf(before int64, first bool, p event.Pack) int64 {
	at := p.ProposedAt
	switch {
	case first || at <= before:
		return max(before, at)
	case at <= before+MaxStep, steps(before, p):
		return at
	}
	return before
}

// steps reports whether a pack is a valid clock step: alone in its pack, from the current log time to the time
// of its pack, agreed on by more than half of the voters.
func steps(before int64, p event.Pack) bool {
	if len(p.Events) != 1 || p.Events[0].Kind != event.ClockStep {
		return false
	}
	_, m, err := p.Events[0].Message()
	s, ok := m.(*event.ClockStepV1)
	if err != nil || !ok || s.Before != before || s.After != p.ProposedAt {
		return false
	}
	named := slices.Compact(slices.Sorted(slices.Values(s.Agreed)))
	return len(named) == len(s.Agreed) && uint64(len(named)) <= uint64(s.Voters) &&
		2*uint64(len(named)) > uint64(s.Voters)
}
