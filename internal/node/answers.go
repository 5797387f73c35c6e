package node

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// answers finds out what was said of submissions at earlier times: from what is recorded of the activations since, and from the
// generations that are kept. A row costs one look-up for each activation after it that changed anything.
type answers struct {
	gens    *recount.Manager
	live    *recount.Running            // answers now
	acts    []projections.ActivationRow // up to the one that made it answer
	history *fsm.HistoryView
	views   map[uint32]*fsm.View // of kept generations; nil for those that are gone
	changes map[uint64]fsm.Change
}

// answersOf looks back from the generation that answers now. The caller closes it.
func (rd *reader) answersOf(live *recount.Running) *answers {
	acts := rd.derived.Control().Activations()
	for len(acts) > 0 && acts[len(acts)-1].Generation != live.Number() {
		acts = acts[:len(acts)-1] // activated after this list was begun
	}
	return &answers{gens: rd.gens, live: live, acts: acts, history: rd.gens.History(), views: map[uint32]*fsm.View{}, changes: map[uint64]fsm.Change{}}
}

func (a *answers) close() {
	a.history.Close()
	for _, v := range a.views {
		if v != nil {
			v.Close()
		}
	}
}

// said is a row with the generation that says so, and the one that answered at the time asked for. When they are two, outcome
// and accepted are those of the time, and nothing else need be.
type said struct {
	row            projections.Result
	by, answeredBy uint32
}

// activeAfter is the generation that answered after event seq.
func (a *answers) activeAfter(seq uint64) uint32 {
	for i := len(a.acts) - 1; i >= 0; i-- {
		if a.acts[i].Seq <= seq {
			return a.acts[i].Generation
		}
	}
	return 1
}

// last is the last event after which a generation answered that does not answer now.
func (a *answers) last(generation uint32) (seq uint64, ok bool) {
	for i := len(a.acts) - 1; i >= 0; i-- {
		if a.acts[i].From == generation {
			return a.acts[i].Seq - 1, true
		}
	}
	return 0, false
}

// after is what was said of a submission after event position, which does not come before it. now is what is said now.
func (a *answers) after(position uint64, now *projections.Result) (said, error) {
	s := said{row: *now, by: a.live.Number(), answeredBy: a.activeAfter(position)}
	for _, act := range a.acts {
		if act.Seq <= position {
			continue
		}
		row, changed, err := a.before(&act, now.Seq)
		if err != nil {
			return s, err
		}
		if changed {
			s.row, s.by = row, act.From
			break
		}
	}
	if s.by == s.answeredBy {
		return s, nil
	}
	row, ok, err := a.rowOf(s.answeredBy, now.Seq)
	if ok {
		s.row, s.by = row, s.answeredBy
	}
	return s, err
}

// before is the row that an activation replaced by another one; changed is false when it left outcome and accepted alone.
func (a *answers) before(act *projections.ActivationRow, seq uint64) (row projections.Result, changed bool, err error) {
	c, ok := a.changes[act.Seq]
	if !ok {
		var recorded bool
		if c, recorded, err = a.gens.Change(act.Seq); err != nil {
			return row, false, err
		}
		if !recorded { // it was a moment ago: the generation before it is kept until its flips are recorded
			row, ok, err := a.rowOf(act.From, seq)
			if err == nil && !ok {
				err = wire.NewProblem(wire.CodeNotReady, fmt.Sprintf("what the activation at event %d changed is not recorded on this node yet; ask again", act.Seq)).WithRetry(retryAfter)
			}
			return row, ok, err
		}
		a.changes[act.Seq] = c
	}
	if c.Flips == 0 {
		return row, false, nil
	}
	f, ok, err := a.history.Flip(act.Seq, seq)
	return f.Old, ok, err
}

// rowOf reads a row of a generation; ok is false when the generation is not kept here or is not as far.
func (a *answers) rowOf(generation uint32, seq uint64) (row projections.Result, ok bool, err error) {
	v, seen := a.views[generation]
	if !seen {
		if r, _ := a.gens.Get(generation); r != nil && r.Damage() == nil {
			v = r.View()
		}
		a.views[generation] = v
	}
	if v == nil {
		return row, false, nil
	}
	row, err = projections.Row(v, seq)
	if errors.Is(err, projections.ErrNotFound) || errors.Is(err, fsm.ErrDropped) {
		return row, false, nil
	}
	return row, err == nil, err
}

// answer is the short form of what was said. What is not known to be of that time is left out.
func (s *said) answer() wire.AuditAnswer {
	a := wire.AuditAnswer{Generation: s.answeredBy, Outcome: s.row.Outcome.String(), Accepted: s.row.Accepted}
	if s.by == s.answeredBy {
		a.Status, a.ReasonCode, a.Policy = statusOf(&s.row), s.row.ReasonCode(), hex.EncodeToString(s.row.Policy[:])
	}
	return a
}
