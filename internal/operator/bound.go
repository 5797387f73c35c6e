package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/wire"
)

// holdFor bounds how long submissions wait in the queue of the leader while it counts new flips.
const holdFor = 3 * time.Second

// boundTries bounds how often an activation is proposed again because a submission came into the log before it.
// That happens mostly with submissions that an earlier attempt of this leader left in the log.
const boundTries = 3

// operateBounded proposes an activation. With a limit it keeps submissions back, counts the flips since the review
// up to the end of the log, and records in the event how far it has counted. The fold ignores the event when a
// submission stands between.
func (gs *Generations) operateBounded(ctx context.Context, r *recount.Running, c *fsm.Comparison,
	m *event.GenerationActivatedV1, limit *uint64) (seq uint64, effect projections.Effect, err error) {
	if limit == nil {
		return gs.core.commit(ctx, event.GenerationActivated, m)
	}
	hold, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	release, err := gs.core.Log.Hold(hold)
	if err != nil {
		return 0, 0, gs.notCounted(ctx, err)
	}
	defer release()
	for range boundTries {
		if m.CountedTo, err = gs.countNewFlips(hold, r, c, m.Position, *limit); err != nil {
			return 0, 0, gs.notCounted(ctx, err)
		}
		seq, effect, err = gs.core.commit(ctx, event.GenerationActivated, m)
		if err != nil || effect != projections.Ignored {
			break
		}
	}
	return seq, effect, err
}

// notCounted reports that the new flips could not be counted in time, unless the caller has gone or err has
// another cause.
func (gs *Generations) notCounted(ctx context.Context, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return wire.NewProblem(wire.CodeFarBehind,
		"the flips since the review could not be counted up to the end of the log within "+
			holdFor.String()).WithRetry(retryAfter)
}

// countNewFlips compares up to the end of the log, which it returns, and refuses when more than limit
// submissions have flipped since the review.
func (gs *Generations) countNewFlips(ctx context.Context, r *recount.Running, c *fsm.Comparison,
	position, limit uint64) (end uint64, err error) {
	if err := gs.core.confirm(ctx); err != nil {
		return 0, err
	}
	end = gs.core.head()
	if err := c.WaitSeq(ctx, end); err != nil {
		return 0, err
	}
	count := uint64(0)
	if err := eachFlip(ctx, r, position+
		1, end, func(*projections.Flip) bool { count++; return count <= limit }); err != nil {
		return 0, err
	}
	if count > limit {
		return 0, stale("more than %d submissions have flipped since event %d was reviewed", limit, position)
	}
	return end, nil
}

// nearHead refuses an activation that would leave the nodes without an active generation that can answer. Every
// reporter must follow the log, and the review must reach near its end.
func (gs *Generations) nearHead(nodes []wire.NodeProgress, reporters []string, position uint64) error {
	const advice = "; wait, or activate with force: no node answers then until it has folded the rest"
	if head := gs.core.head(); head > position+recount.Following {
		return wire.NewProblem(wire.CodeFarBehind,
			fmt.Sprintf("the diff was reviewed up to event %d of %d; review a newer one, at most %d events "+
				"behind, or activate with force",
				position, head, recount.Following))
	}
	for _, p := range nodes {
		if slices.Contains(reporters, p.Node) && !recount.Follows(p) {
			return wire.NewProblem(wire.CodeFarBehind,
				fmt.Sprintf("%s is %s and has compared %d of %d events", p.Node, p.State, p.Compared, p.Committed)+
					advice)
		}
	}
	return nil
}

// rollbackUnseen goes back while the generation that was activated answers on no node yet. There is nothing to
// compare, and the generation before it is folded on every node. The event names no reporters.
func (gs *Generations) rollbackUnseen(ctx context.Context, number uint32,
	op *event.OpV1) (*wire.ActivateAnswer, error) {
	m := &event.GenerationActivatedV1{
		Generation: number,
		From:       gs.core.Recounts.Active(),
		Diff:       make([]byte, 32),
		Absent:     gs.core.Voters(),
		Rollback:   true,
		Op:         op,
	}
	seq, effect, err := gs.core.commit(ctx, event.GenerationActivated, m)
	return gs.afterActivation(ctx, m, seq, effect, err)
}

// afterActivation turns the result of an activation event into an answer.
func (gs *Generations) afterActivation(ctx context.Context, m *event.GenerationActivatedV1, seq uint64,
	effect projections.Effect, err error) (*wire.ActivateAnswer, error) {
	switch {
	case err != nil:
		return nil, err
	case effect == projections.Repeated:
		id := m.Op.GetOpId()
		return gs.activatedBefore(ctx, gs.core.control().OpSeq(id), id, func(a *projections.ActivationRow) bool {
			return a.Generation == m.Generation && a.Rollback == m.Rollback &&
				(m.Rollback || a.Position == m.Position && a.Diff == [32]byte(m.Diff))
		})
	case effect != projections.Applied && m.CountedTo != 0 && gs.core.Recounts.Active() == m.From:
		return nil,
			stale("submissions came into the log while the new flips were counted; nothing was changed, try again")
	case effect != projections.Applied:
		return nil, stale("another operation came first: generation %d could not be activated", m.Generation)
	}
	return gs.activated(ctx, seq)
}
