package fsm

import (
	"slices"

	"github.com/recount-ledger/recount/internal/event"
)

// MaxStep is how far one pack can move log time. A pack whose time is further ahead counts as log time; only a clock step that a
// majority of the voters agreed on moves it further. The value is part of the folds and for ever.
const MaxStep int64 = 3_600_000_000_000 // an hour in nanoseconds

// timeOf is log time at a pack, given what it was before and whether any event came before. The time of the first pack of a
// ledger is taken as it is.
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

// steps reports whether a pack is a clock step that counts: alone, from the log time that it finds to the time of its pack, by
// the word of more than half of the voters.
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
	return len(named) == len(s.Agreed) && uint64(len(named)) <= uint64(s.Voters) && 2*uint64(len(named)) > uint64(s.Voters)
}
