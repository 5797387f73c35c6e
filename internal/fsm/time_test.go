package fsm

import (
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/event"
)

func TestLogTimeIsBounded(t *testing.T) {
	const hour, month = int64(time.Hour), int64(720 * time.Hour)
	step := func(kind event.Kind, before, after int64, voters uint32, agreed ...string) event.Event {
		payload, err := event.NewPayload([event.SaltSize]byte{1}, &event.ClockStepV1{Node: "n", Before: before, After: after, Agreed: agreed, Voters: voters})
		if err != nil {
			t.Fatal(err)
		}
		return event.Event{Kind: kind, Payload: payload}
	}
	plain := event.Event{Kind: event.TermStart, Payload: make([]byte, event.SaltSize)}
	one := func(e event.Event) []event.Event { return []event.Event{e} }
	for _, test := range []struct {
		name             string
		before, at, want int64
		first            bool
		events           []event.Event
	}{
		{"the first pack", 0, month, month, true, one(plain)},
		{"back", month, month - hour, month, false, one(plain)},
		{"within the bound", month, month + hour, month + hour, false, one(plain)},
		{"beyond the bound", month, month + hour + 1, month, false, one(plain)},
		{"a month", month, 2 * month, month, false, one(plain)},
		{"overflow", month, 1<<63 - 1, month, false, one(plain)},
		{"a step", month, 2 * month, 2 * month, false, one(step(event.ClockStep, month, 2*month, 3, "a", "b"))},
		{"a step of one", month, 2 * month, 2 * month, false, one(step(event.ClockStep, month, 2*month, 1, "a"))},
		{"another log time", month + 1, 2 * month, month + 1, false, one(step(event.ClockStep, month, 2*month, 3, "a", "b"))},
		{"another time of the pack", month, 2*month + 1, month, false, one(step(event.ClockStep, month, 2*month, 3, "a", "b"))},
		{"no majority", month, 2 * month, month, false, one(step(event.ClockStep, month, 2*month, 3, "a"))},
		{"one voter twice", month, 2 * month, month, false, one(step(event.ClockStep, month, 2*month, 3, "a", "a"))},
		{"nobody of none", month, 2 * month, month, false, one(step(event.ClockStep, month, 2*month, 0))},
		{"another kind", month, 2 * month, month, false, one(step(event.TermStart, month, 2*month, 3, "a", "b"))},
		{"not alone", month, 2 * month, month, false, []event.Event{step(event.ClockStep, month, 2*month, 3, "a", "b"), plain}},
	} {
		if got := timeOf(test.before, test.first, event.Pack{ProposedAt: test.at, Events: test.events}); got != test.want {
			t.Errorf("%s: log time %d, want %d", test.name, got, test.want)
		}
	}
}
