package reads

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// answers finds the outcomes that submissions had at earlier times, from the recorded flips of the activations
// since and from the generations that are kept. A row costs one look-up for each activation after it that
// changed anything.
type answers struct {
	gens        Generations
	live        *recount.Running            // the active generation
	activations []projections.ActivationRow // up to the one that made it active
	history     *fsm.HistoryView
	views       map[uint32]*fsm.View // of kept generations, nil for dropped ones
	changes     map[uint64]fsm.Change
}

// answers looks back from the generation of the view. The caller closes the result.
func (v *view) answers() *answers {
	activations := v.state.Control().Activations()
	for len(activations) > 0 && activations[len(activations)-1].Generation != v.at.Generation {
		activations = activations[:len(activations)-1] // activated after this list was begun
	}
	return &answers{
		gens:        v.gens,
		live:        v.of,
		activations: activations,
		history:     v.gens.History(),
		views:       map[uint32]*fsm.View{},
		changes:     map[uint64]fsm.Change{},
	}
}

func (a *answers) close() {
	a.history.Close()
	for _, v := range a.views {
		if v != nil {
			v.Close()
		}
	}
}

// said joins a row, the generation that it comes from and the generation that was active at the time asked for.
// When the two differ, only outcome and accepted are those of that time.
type said struct {
	row            projections.Result
	by, answeredBy uint32
}

// activeAfter returns the generation that was active after event seq.
func (a *answers) activeAfter(seq uint64) uint32 {
	for i := len(a.activations) - 1; i >= 0; i-- {
		if a.activations[i].Seq <= seq {
			return a.activations[i].Generation
		}
	}
	return 1
}

// last returns the last event after which a generation was active, if it is not active now.
func (a *answers) last(generation uint32) (seq uint64, ok bool) {
	for i := len(a.activations) - 1; i >= 0; i-- {
		if a.activations[i].From == generation {
			return a.activations[i].Seq - 1, true
		}
	}
	return 0, false
}

// after returns the outcome of a submission as it was after event position, which does not come before it. now
// is its row in the active generation.
func (a *answers) after(position uint64, now *projections.Result) (said, error) {
	s := said{row: *now, by: a.live.Number(), answeredBy: a.activeAfter(position)}
	for _, activation := range a.activations {
		if activation.Seq <= position {
			continue
		}
		row, changed, err := a.before(&activation, now.Seq)
		if err != nil {
			return s, err
		}
		if changed {
			s.row, s.by = row, activation.From
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

// before returns the row that an activation replaced. changed is false when it left outcome and accepted alone.
func (a *answers) before(activation *projections.ActivationRow, seq uint64) (row projections.Result, changed bool, err error) {
	c, ok := a.changes[activation.Seq]
	if !ok {
		var recorded bool
		if c, recorded, err = a.gens.Change(activation.Seq); err != nil {
			return row, false, err
		}
		if !recorded { // it was a moment ago: the generation before it is kept until its flips are recorded
			row, ok, err := a.rowOf(activation.From, seq)
			if err == nil && !ok {
				err = wire.NewProblem(wire.CodeNotReady,
					fmt.Sprintf("what the activation at event %d changed is not recorded on this node yet; ask again",
						activation.Seq)).WithRetry(retryAfter)
			}
			return row, ok, err
		}
		a.changes[activation.Seq] = c
	}
	if c.Flips == 0 {
		return row, false, nil
	}
	f, ok, err := a.history.Flip(activation.Seq, seq)
	return f.Old, ok, err
}

// rowOf reads a row of a generation. ok is false when the generation is not kept here or has not folded that
// event.
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

// answer returns the short form of said. It leaves out what is not known for that time.
func (s *said) answer() wire.AuditAnswer {
	a := wire.AuditAnswer{Generation: s.answeredBy, Outcome: s.row.Outcome.String(), Accepted: s.row.Accepted}
	if s.by == s.answeredBy {
		a.Status, a.ReasonCode, a.Policy = statusOf(&s.row), s.row.ReasonCode(), hex.EncodeToString(s.row.Policy[:])
	}
	return a
}
