package intake

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// counts returns the counters of a submission. A dry run is no submission: the handlers count it, as a check.
func (in *Intake) counts(meta api.Meta) *Counters {
	if meta.DryRun {
		return new(Counters)
	}
	return in.counters
}

// foretell folds a submission on this node as the next event, over the current rows, and keeps nothing of it. A
// quorum has to confirm that these rows are the newest. Without one a submission gets no answer either.
func (in *Intake) foretell(ctx context.Context, q *inquiry, ev event.Event) (projections.Result, error) {
	if err := in.confirm(ctx, q); err != nil {
		return projections.Result{}, in.o.Problem(propose.ErrNoLeader)
	}
	serving := in.o.Generations.Serving()
	it := projections.Item{
		Seq:        in.o.State.Cursor().Seq + 1,
		RawTime:    in.o.Clock.Now().UnixNano(),
		LogTime:    in.o.Clock.LogTime(),
		Kind:       ev.Kind,
		Event:      ev,
		PayloadSHA: sha256.Sum256(ev.Payload),
	}
	control := in.o.State.Control().For(serving.Number())
	projections.Prepare(&it, in.o.Keys.Verifiers(), control)
	view := serving.View()
	defer view.Close()
	r, err := projections.Foretell(view, serving.Number(), &it, control)
	if errors.Is(err, fsm.ErrDropped) {
		return r, wire.NewProblem(wire.CodeNotReady,
			"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	r.Seq = 0 // there is no such event
	return r, err
}
