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

// outcomes finds the outcomes that submissions had at earlier times, from the recorded flips of the activations
// since and from the generations that are kept. A row costs one look-up for each activation after it that
// changed anything.
type outcomes struct {
	state       State
	gens        Generations
	of          *recount.Running            // the generation of the view, which may have been active before
	active      *recount.Running            // the active generation
	activations []projections.ActivationRow // up to the one that made it active
	history     *fsm.HistoryView
	views       map[uint32]*fsm.View // of kept generations, nil for dropped ones
	changes     map[uint64]fsm.Change
	policy      policyText
}

// policyText keeps the text of the last policy, because most rows of a list have the same.
type policyText struct {
	id   [32]byte
	text string // empty at first
}

func (p *policyText) of(id [32]byte) string {
	if p.text == "" || p.id != id {
		p.id, p.text = id, hex.EncodeToString(id[:])
	}
	return p.text
}

// outcomes looks back from the generation that serves, whichever the view reads. The caller closes the result.
func (v *view) outcomes() *outcomes {
	active := v.gens.Serving()
	activations := v.state.Control().Activations()
	for len(activations) > 0 && activations[len(activations)-1].Generation != active.Number() {
		activations = activations[:len(activations)-1] // this node still switches
	}
	return &outcomes{
		state:       v.state,
		gens:        v.gens,
		of:          v.of,
		active:      active,
		activations: activations,
		history:     v.gens.History(),
		views:       map[uint32]*fsm.View{},
		changes:     map[uint64]fsm.Change{},
	}
}

func (o *outcomes) close() {
	o.history.Close()
	for _, v := range o.views {
		if v != nil {
			v.Close()
		}
	}
}

// outcome is the row of a submission as of some event. When the row comes from another generation than the one
// that was active then, only outcome and accepted are those of that time.
type outcome struct {
	row        projections.Result
	of         uint32 // the generation of the row
	activeThen uint32 // the generation that was active
}

// activeAfter returns the generation that was active after event seq.
func (o *outcomes) activeAfter(seq uint64) uint32 {
	for i := len(o.activations) - 1; i >= 0; i-- {
		if o.activations[i].Seq <= seq {
			return o.activations[i].Generation
		}
	}
	return 1
}

// last returns the last event after which a generation was active, if it is not active now.
func (o *outcomes) last(generation uint32) (seq uint64, ok bool) {
	for i := len(o.activations) - 1; i >= 0; i-- {
		if o.activations[i].From == generation {
			return o.activations[i].Seq - 1, true
		}
	}
	return 0, false
}

// after returns the outcome of a submission as it was after event position, which does not come before it. now
// is its row in the active generation.
func (o *outcomes) after(position uint64, now *projections.Result) (outcome, error) {
	then := outcome{row: *now, of: o.active.Number(), activeThen: o.activeAfter(position)}
	for _, activation := range o.activations {
		if activation.Seq <= position {
			continue
		}
		row, changed, err := o.before(&activation, now.Seq)
		if err != nil {
			return then, err
		}
		if changed {
			then.row, then.of = row, activation.From
			break
		}
	}
	if then.of == then.activeThen {
		return then, nil
	}
	row, ok, err := o.rowOf(then.activeThen, now.Seq)
	if ok {
		then.row, then.of = row, then.activeThen
	}
	return then, err
}

// before returns the row that an activation replaced. changed is false when it left outcome and accepted alone.
func (o *outcomes) before(activation *projections.ActivationRow,
	seq uint64) (row projections.Result, changed bool, err error) {
	c, ok := o.changes[activation.Seq]
	if !ok {
		var recorded bool
		if c, recorded, err = o.gens.Change(activation.Seq); err != nil {
			return row, false, err
		}
		if !recorded { // it was a moment ago: the generation before it is kept until its flips are recorded
			row, ok, err := o.rowOf(activation.From, seq)
			if err == nil && !ok {
				err = wire.NewProblem(wire.CodeNotReady,
					fmt.Sprintf("what the activation at event %d changed is not recorded on this node yet; ask again",
						activation.Seq)).WithRetry(retryAfter)
			}
			return row, ok, err
		}
		o.changes[activation.Seq] = c
	}
	if c.Flips == 0 {
		return row, false, nil
	}
	f, ok, err := o.history.Flip(activation.Seq, seq)
	return f.Old, ok, err
}

// rowOf reads a row of a generation. ok is false when the generation is not kept here or has not folded that
// event.
func (o *outcomes) rowOf(generation uint32, seq uint64) (row projections.Result, ok bool, err error) {
	v, seen := o.views[generation]
	if !seen {
		if r, _ := o.gens.Get(generation); r != nil && r.Damage() == nil {
			v = r.View()
		}
		o.views[generation] = v
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

// answer returns the short form of an outcome. It leaves out what is not known for that time.
func (o *outcomes) answer(at *outcome) wire.AuditAnswer {
	a := wire.AuditAnswer{
		Generation: at.activeThen,
		Outcome:    at.row.Outcome.String(),
		Accepted:   at.row.Accepted,
	}
	if at.of == at.activeThen {
		a.Status, a.ReasonCode = statusOf(&at.row), at.row.ReasonCode()
		a.Policy = o.policy.of(at.row.Policy)
	}
	return a
}
