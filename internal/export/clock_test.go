package export

import (
	"bytes"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// TestClock: log time follows from the raw times of the packs, and from nothing else.
func TestClock(t *testing.T) {
	const hour = int64(time.Hour)
	step := func(before, after int64) any {
		return &event.ClockStepV1{Before: before, After: after, Agreed: []string{"a", "b"}, Voters: 3}
	}
	type tick struct {
		index    uint64
		raw, log int64 // hours
		m        any
		fault    bool
	}
	for name, ticks := range map[string][]tick{
		"forward":                     {{1, 10, 10, nil, false}, {2, 11, 11, nil, false}, {2, 11, 11, nil, false}, {3, 12, 12, nil, false}},
		"a clock goes back":           {{1, 10, 10, nil, false}, {2, 9, 10, nil, false}},
		"and takes log time along":    {{1, 10, 10, nil, false}, {2, 9, 9, nil, true}},
		"too far ahead":               {{1, 10, 10, nil, false}, {2, 20, 10, nil, false}},
		"too far ahead, and believed": {{1, 10, 10, nil, false}, {2, 20, 20, nil, true}},
		"a step":                      {{1, 10, 10, nil, false}, {2, 20, 20, step(10*hour, 20*hour), false}, {3, 20, 20, nil, false}},
		"a step from another time":    {{1, 10, 10, nil, false}, {2, 20, 20, step(9*hour, 20*hour), true}},
		"a step that is not alone":    {{1, 10, 10, nil, false}, {2, 20, 20, step(10*hour, 20*hour), false}, {2, 20, 20, nil, true}},
		"a step of too few": {{1, 10, 10, nil, false},
			{2, 20, 20, &event.ClockStepV1{Before: 10 * hour, After: 20 * hour, Agreed: []string{"a", "a"}, Voters: 3}, true}},
		"the first is another": {{1, 10, 11, nil, true}},
		"two times of a pack":  {{1, 10, 10, nil, false}, {1, 11, 11, nil, true}},
		"an entry comes again": {{2, 10, 10, nil, false}, {1, 11, 11, nil, true}},
	} {
		var c clock
		for i, k := range ticks {
			e := &Event{Seq: uint64(i + 1), Index: k.index, LogTime: wire.TimeNS(k.log * hour), Leaf: wire.Leaf{RawTimeNS: k.raw * hour}}
			if why := c.tick(e, k.m, false); (why != "") != k.fault {
				t.Errorf("%s, event %d: %q", name, i+1, why)
			}
		}
	}
	c := clock{}
	if why := c.tick(&Event{Seq: 7, Index: 3, LogTime: wire.TimeNS(5 * hour), Leaf: wire.Leaf{RawTimeNS: hour}}, nil, false); why != "" {
		t.Error(why) // what was before the range is not known
	}
	if why := c.tick(&Event{Seq: 8, Index: 4, LogTime: "soon"}, nil, false); why == "" {
		t.Error("no time is taken for one")
	}
}

// TestDoubts: what the voters found false and said so in the log is no fault of the export.
func TestDoubts(t *testing.T) {
	b, d := newBoard(), doubts{}
	b.begin(CheckEd25519, "")
	d.add(b, 7, CheckEd25519, "event %d", 7)
	d.add(b, 7, CheckEd25519, "event %d again", 7)
	d.add(b, 9, CheckEd25519, "event %d", 9)
	d.settle(7)
	d.into(b)
	if l := b.lines[CheckEd25519]; len(l.Faults) != 1 || l.Faults[0] != "event 9" {
		t.Errorf("%+v", l)
	}
	for seq := range uint64(mostDoubts + 20) {
		d.add(b, seq, CheckEd25519, "more")
	}
	if l := b.lines[CheckEd25519]; len(l.Faults) != mostFaults || l.More == 0 {
		t.Errorf("%+v", l)
	}
}

// TestRecent: the digests of the last events are known, and those before them, behind them, and of events that were
// never added, are not.
func TestRecent(t *testing.T) {
	var r recent
	tr := &tree{}
	if _, ok := r.at(0); ok {
		t.Error("there is a digest before anything")
	}
	roots := map[uint64][]byte{}
	const first = 7 // the range begins later
	for seq := uint64(first); seq < first+recentRoots+3; seq++ {
		tr.add(sumBytes([]byte{byte(seq), byte(seq >> 8)}))
		r.add(seq, tr)
		roots[seq] = tr.root()
		if seq == first+2 {
			for at, want := range map[uint64]bool{0: false, first - 1: false, first: true, first + 2: true, first + 3: false} {
				if _, ok := r.at(at); ok != want {
					t.Errorf("event %d: %v", at, ok)
				}
			}
		}
	}
	last := uint64(first + recentRoots + 2)
	for at, want := range map[uint64]bool{first: false, first + 2: false, first + 3: true, last - 1: true, last: true,
		last + 1: false, ^uint64(0): false} {
		got, ok := r.at(at)
		if ok != want || ok && !bytes.Equal(got, roots[at]) {
			t.Errorf("event %d: %x %v", at, got, ok)
		}
	}
}
