package export

import (
	"fmt"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// mostStep bounds how far one pack moves log time, except for a clock step that a majority agreed on.
const mostStep = time.Hour

// clock computes log time, which no event holds. It follows from the clocks of the proposers (docs/formats.md,
// "Number and time of an event").
type clock struct {
	begun      bool
	index      uint64
	raw, log   int64
	stepsAlone bool // the pack was taken as a clock step, so no other event may be in it
}

// tick checks the time of the next event. It returns what is wrong, or "". With gaps it checks only the order.
func (c *clock) tick(e *Event, m any, gaps bool) string {
	at, err := wire.ParseTime(e.LogTime)
	if err != nil {
		return "log time: " + err.Error()
	}
	now, raw := at.UnixNano(), e.Leaf.RawTimeNS
	before, same := *c, c.begun && e.Index == c.index
	*c = clock{begun: true, index: e.Index, raw: raw, log: now}
	switch {
	case same && (raw != before.raw || now != before.log):
		return "has another time than the event before it, which was proposed with it"
	case same && before.stepsAlone:
		return "stands behind a clock step that moved log time, and such a step is alone"
	case same:
		return ""
	case !before.begun && (e.Seq > 1 || now == raw):
		return "" // the event before is not in the export
	case now < before.log:
		return fmt.Sprintf("log time goes back from %s to %s", wire.TimeNS(before.log), e.LogTime)
	case before.begun && e.Index < before.index:
		return "its entry comes before that of the event before it"
	case gaps:
		return ""
	}
	want := before.log
	switch {
	case raw <= before.log:
	case raw <= before.log+int64(mostStep):
		want = raw
	case step(m, before.log, raw):
		want, c.stepsAlone = raw, true
	}
	if now != want {
		return fmt.Sprintf("log time is %s and follows as %s", e.LogTime, wire.TimeNS(want))
	}
	return ""
}

// step reports whether an event moves log time from before to raw with the agreement of more than half of the
// voters.
func step(m any, before, raw int64) bool {
	s, ok := m.(*event.ClockStepV1)
	if !ok || s.Before != before || s.After != raw {
		return false
	}
	named := slices.Compact(slices.Sorted(slices.Values(s.Agreed)))
	return len(named) == len(s.Agreed) && uint64(len(named)) <= uint64(s.Voters) &&
		2*uint64(len(named)) > uint64(s.Voters)
}

// recentRoots is the number of log digests that are remembered. A leader records a digest soon after its event.
const recentRoots = 1 << 16

// recent remembers the log digests at the last events.
type recent struct {
	roots [][32]byte
	last  uint64
	held  int
}

func (r *recent) add(seq uint64, t *tree) {
	if r.roots == nil {
		r.roots = make([][32]byte, recentRoots)
	}
	copy(r.roots[seq%recentRoots][:], t.root())
	r.last, r.held = seq, min(r.held+1, recentRoots)
}

func (r *recent) at(seq uint64) ([]byte, bool) {
	if seq > r.last || seq == 0 || r.last-seq >= uint64(r.held) {
		return nil, false
	}
	return r.roots[seq%recentRoots][:], true
}

// mostDoubts bounds the faults that wait for a later event that explains them.
const mostDoubts = 10_000

// doubts are faults of submissions that a later event may explain: if the voters find the recorded facts false,
// they record that in the log, and the ledger treats the record as unsigned.
type doubts struct {
	bySeq map[uint64][]doubt
	order []uint64
}

type doubt struct{ check, text string }

func (d *doubts) add(b *board, seq uint64, check, format string, args ...any) {
	if d.bySeq == nil {
		d.bySeq = map[uint64][]doubt{}
	}
	if len(d.order) == mostDoubts {
		b.fault(check, format, args...)
		return
	}
	d.bySeq[seq] = append(d.bySeq[seq], doubt{check, fmt.Sprintf(format, args...)})
	d.order = append(d.order, seq)
}

func (d *doubts) settle(seq uint64) { delete(d.bySeq, seq) }

// into turns the unexplained doubts into faults.
func (d *doubts) into(b *board) {
	for _, seq := range slices.Compact(d.order) {
		for _, x := range d.bySeq[seq] {
			b.fault(x.check, "%s", x.text)
		}
	}
}
