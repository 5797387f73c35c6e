package node

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
func (in *intake) counts(meta api.Meta) *stats {
	if meta.DryRun {
		return new(stats)
	}
	return in.stats
}

// foretell folds a submission on this node as the next event, over the current rows, and keeps nothing of it. A
// quorum has to confirm that these rows are the newest. Without one a submission gets no answer either.
func (in *intake) foretell(ctx context.Context, ev event.Event) (projections.Result, error) {
	if err := in.confirm(ctx); err != nil {
		return projections.Result{}, proposeProblem(propose.ErrNoLeader, in.clock)
	}
	live := in.gens.Serving()
	it := projections.Item{
		Seq:        in.derived.Cursor().Seq + 1,
		RawTime:    in.clock.Now().UnixNano(),
		LogTime:    in.clock.LogTime(),
		Kind:       ev.Kind,
		Event:      ev,
		PayloadSHA: sha256.Sum256(ev.Payload),
	}
	control := in.derived.Control().For(live.Number())
	projections.Check(&it, in.keys.Verifiers(), control)
	view := live.View()
	defer view.Close()
	r, err := projections.Foretell(view, live.Number(), &it, control)
	if errors.Is(err, fsm.ErrDropped) {
		return r, wire.NewProblem(wire.CodeNotReady,
			"this node is switching to another generation; ask another one").WithRetry(retryAfter)
	}
	r.Seq = 0 // there is no such event
	return r, err
}
