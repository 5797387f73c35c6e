package recount

import (
	"context"
	"errors"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// Serving returns the generation that this node answers with.
func (m *Manager) Serving() *Running { return m.serving.Load() }

// Active returns the generation that the log has activated last, whether or not it serves here yet.
func (m *Manager) Active() uint32 {
	number, _ := m.ctrl.Control().Active()
	return number
}

// Switching reports that the active generation is not there yet on this node, or not any more. The node serves
// nothing then.
func (m *Manager) Switching() bool {
	serving := m.Serving()
	active, since := m.ctrl.Control().Active()
	return serving.Number() != active || serving.Cursor().Seq < max(since, serving.until) || serving.Damage() != nil
}

// AwaitServing returns when the active generation serves here.
func (m *Manager) AwaitServing(ctx context.Context) error {
	for {
		_, changed := m.Get(0)
		if !m.Switching() {
			return nil
		}
		serving := m.Serving()
		if active, since := m.ctrl.Control().Active(); serving.Number() == active && serving.Damage() == nil {
			// After a restart it may have to fold its activation once more. Nothing is switched then.
			// One that is closed meanwhile is damaged or not the active one: the next turn waits for another.
			if err := serving.WaitSeq(ctx, max(since, serving.until)); err != nil && !m.again(ctx, err) {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// WaitIndex returns when the generation that the log has active at an entry serves here and has folded it.
func (m *Manager) WaitIndex(ctx context.Context, index uint64) error {
	if err := m.ctrl.WaitIndex(ctx, index); err != nil {
		return err
	}
	for {
		if err := m.AwaitServing(ctx); err != nil {
			return err
		}
		if err := m.Serving().WaitIndex(ctx, index); !m.again(ctx, err) {
			return err
		}
	}
}

// WaitSeq returns when the serving generation has folded an event. The event may itself activate another
// generation, which must serve then.
func (m *Manager) WaitSeq(ctx context.Context, seq uint64) error {
	for {
		serving := m.Serving()
		err := serving.WaitSeq(ctx, seq)
		if err != nil && !m.again(ctx, err) {
			return err
		}
		if err == nil && serving == m.Serving() && !m.Switching() {
			return nil
		}
		if err := m.AwaitServing(ctx); err != nil {
			return err
		}
	}
}

// Outcomes waits for the outcomes of an entry, in the generation that was active there.
func (m *Manager) Outcomes(ctx context.Context, index uint64) ([]projections.Result, error) {
	if err := m.ctrl.WaitIndex(ctx, index); err != nil {
		return nil, err
	}
	for {
		r, err := m.Await(ctx, m.ctrl.Control().AnswersEntry(index))
		if err != nil {
			return nil, err
		}
		out, err := r.Outcomes(ctx, index)
		if !m.again(ctx, err) {
			return out, err
		}
	}
}

// again reports that a generation is gone, so that a wait for it begins anew with the one in its place. At the end
// of ctx, or of the manager, there is none: all generations are closed then.
func (m *Manager) again(ctx context.Context, err error) bool {
	return errors.Is(err, fsm.ErrDropped) && ctx.Err() == nil && m.ctx.Err() == nil
}

// switchLoop makes the active generation serve once it has folded the event that activated it.
func (m *Manager) switchLoop(ctx context.Context) error {
	control := m.ctrl.Control()
	for {
		seen, _ := control.Digest()
		active, activated := control.Active()
		if m.Serving().Number() == active {
			if err := m.ctrl.WaitControl(ctx, seen); err != nil {
				return err
			}
			continue
		}
		r, err := m.Await(ctx, active)
		if err != nil {
			return err
		}
		if why := r.failed.Load(); why != nil {
			return *why // it failed here before the others activated it
		}
		err = m.awaitActivated(ctx, r, activated)
		if err != nil && !m.again(ctx, err) {
			return err
		}
		if err != nil || control.LastActivation() != activated || !m.serve(r) {
			continue // to one that is folded again, or to the one activated after it
		}
		m.notify()
		m.log.Info("another generation answers", "generation", active, "after", activated)
	}
}

// awaitActivated returns when a generation has folded the event that activates it, or another activation has
// come after that one.
func (m *Manager) awaitActivated(ctx context.Context, r *Running, activated uint64) error {
	turn, cancel := m.untilNextActivation(ctx, activated)
	defer cancel()
	if err := r.WaitSeq(turn, activated); turn.Err() == nil || ctx.Err() != nil {
		return err
	}
	return nil
}

// untilNextActivation gives a context that ends when an activation comes after the one of event since.
func (m *Manager) untilNextActivation(ctx context.Context, since uint64) (context.Context, context.CancelFunc) {
	turn, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for turn.Err() == nil {
			seen, _ := m.ctrl.Control().Digest()
			if m.ctrl.Control().LastActivation() != since || m.ctrl.WaitControl(turn, seen) != nil {
				return
			}
		}
	}()
	return turn, cancel
}
