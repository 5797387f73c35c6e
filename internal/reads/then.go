package reads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// resolve returns the generation that a read is about and the event as of which it is, 0 for now. Of a generation that
// is dropped a read is about the active one, as of the last event after which the other one answered.
func (o *outcomes) resolve(ctx context.Context, t api.Then) (from *recount.Running, asOf uint64, err error) {
	switch {
	case !t.Past():
		return o.of, 0, nil
	case t.Generation == 0 || t.Generation == o.active.Number():
		asOf, err = o.eventOf(t)
		return o.active, asOf, err
	}
	if r, _ := o.gens.Get(t.Generation); r != nil {
		return r, 0, awaitRows(ctx, r, o.active.Cursor().Seq)
	}
	if err := gone(o.state, t.Generation); !errors.Is(err, api.ErrGenerationGone) {
		return nil, 0, err
	}
	last, ok := o.last(t.Generation)
	if !ok {
		return nil, 0, wire.NewProblem(wire.CodeNotFound,
			fmt.Sprintf("generation %d is not kept, and it never answered", t.Generation)).WithField("generation")
	}
	return o.active, last, nil
}

// rowsWait bounds how long a read waits for a generation that is a little behind.
const rowsWait = 2 * time.Second

func awaitRows(ctx context.Context, r *recount.Running, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, rowsWait)
	defer cancel()
	if err := r.WaitSeq(ctx, seq); err != nil {
		return wire.NewProblem(wire.CodeNotReady,
			fmt.Sprintf("generation %d is built up to event %d of %d", r.Number(), r.Cursor().Seq, seq),
		).WithRetry(retryAfter)
	}
	return nil
}

// eventOf returns the event that a request names by its number or by a time, 0 for none.
func (o *outcomes) eventOf(t api.Then) (uint64, error) {
	if t.AsOfTime != 0 {
		return o.eventAt(t.AsOfTime)
	}
	if head := o.active.Cursor().Seq; t.AsOf > head {
		return 0, wire.NewProblem(wire.CodeBadRequest,
			fmt.Sprintf("event %d is not there yet; the newest one is %d", t.AsOf, head)).WithField("as_of")
	}
	return t.AsOf, nil
}

// eventAt returns the last event at a log time or before it. A time that neither the log nor the clock of this node has
// reached is refused: what will have been said then is not known.
func (o *outcomes) eventAt(ns int64) (uint64, error) {
	rows := o.active.View()
	defer rows.Close()
	newest, err := projections.LogTimeAt(rows, 0)
	if err != nil {
		return 0, err
	}
	if now := time.Now().UnixNano(); ns > newest && ns > now {
		return 0, wire.NewProblem(wire.CodeBadRequest,
			fmt.Sprintf("is later than the newest event (%s) and than the clock of this node (%s); "+
				"leave it out to read as of now", wire.TimeNS(newest), wire.TimeNS(now))).WithField("as_of")
	}
	next, err := projections.SeqAt(rows, ns+1)
	if err != nil {
		return 0, err
	}
	if next == 1 {
		return 0, wire.NewProblem(wire.CodeBadRequest, "is before the first event").WithField("as_of")
	}
	return next - 1, nil
}

// AsOf returns the event as of which a read of what is the same in every generation is, 0 for now.
func (v *view) AsOf(_ context.Context, t api.Then) (uint64, error) {
	if !t.Past() {
		return 0, nil
	}
	o := v.outcomes()
	defer o.close()
	seq, err := o.eventOf(t)
	return seq, v.orGone(err)
}

// earlier is a generation as a read shows it: now, or after an event.
type earlier struct {
	number uint32
	asOf   uint64           // 0: now
	upTo   uint64           // the last event that counts
	from   *recount.Running // with its rows, nil if they are gone
}

// now is the generation of the view.
func (v *view) now() earlier {
	return earlier{number: v.at.Generation, upTo: projections.Latest, from: v.of}
}

// then returns the generation whose rows answer a request.
func (v *view) then(ctx context.Context, o *outcomes, t api.Then) (e earlier, err error) {
	e.from, e.asOf, err = o.resolve(ctx, t)
	if err != nil {
		return e, v.orGone(err)
	}
	if e.number, e.upTo = e.from.Number(), projections.Latest; e.asOf == 0 {
		return e, nil
	}
	e.number, e.upTo = v.state.Control().ActiveAfter(e.asOf), e.asOf
	if e.number == e.from.Number() {
		return e, nil
	}
	if e.from, _ = v.gens.Get(e.number); e.from != nil {
		return e, awaitRows(ctx, e.from, e.asOf)
	}
	if err := gone(v.state, e.number); !errors.Is(err, api.ErrGenerationGone) {
		return e, err
	}
	return e, nil
}

// orGone replaces the error of rows that are closed by the reason why they are.
func (e *earlier) orGone(state State, err error) error {
	if errors.Is(err, fsm.ErrDropped) {
		return gone(state, e.number)
	}
	return err
}
