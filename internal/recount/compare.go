package recount

import (
	"context"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
)

// compareLoop compares a generation with the active one, as long as it is not active itself, and records what
// changed when it is activated.
func (m *Manager) compareLoop(ctx context.Context, r *Running) error {
	control := m.ctrl.Control()
	for {
		seen, _ := control.Digest()
		if a, ok, err := m.unrecorded(r.Number()); err != nil {
			return err
		} else if ok {
			if err := m.record(ctx, r, a); err != nil {
				return err
			}
			continue
		}
		active, since := control.Active()
		if active == r.Number() {
			if err := m.ctrl.WaitControl(ctx, seen); err != nil {
				return err
			}
			continue
		}
		if err := m.compareWith(ctx, r, active, since); err != nil {
			return err
		}
	}
}

// unrecorded returns the first activation of a generation whose flips are not recorded on this node.
func (m *Manager) unrecorded(number uint32) (projections.ActivationRow, bool, error) {
	for _, a := range m.ctrl.Control().Activations() {
		if a.Generation != number {
			continue
		}
		if _, ok, err := m.Change(a.Seq); err != nil || !ok {
			return a, err == nil, err
		}
	}
	return projections.ActivationRow{}, false, nil
}

// compareWith compares with the generation that is active since an activation until there is another one.
func (m *Manager) compareWith(ctx context.Context, r *Running, active uint32, since uint64) error {
	c, err := m.newComparison(ctx, r, active)
	if err != nil {
		return err
	}
	m.notify()
	turn, cancel := m.untilNextActivation(ctx, since)
	defer cancel()
	err = c.Run(turn, 0, func(ctx context.Context) error { return m.backOff(ctx, r, &r.comparing, comparePause) })
	if ctx.Err() == nil && (turn.Err() != nil && errors.Is(err, context.Canceled) || errors.Is(err, fsm.ErrDropped)) {
		return nil // another one is active now, and the one compared with may be gone
	}
	return err
}

func (m *Manager) newComparison(ctx context.Context, r *Running, with uint32) (*fsm.Comparison, error) {
	old, err := m.Await(ctx, with)
	if err != nil {
		return nil, err
	}
	c, err := fsm.NewComparison(old.Generation, r.Generation, m.ctrl)
	if err != nil {
		return nil, err
	}
	r.diff.Store(c)
	return c, nil
}

// record writes down what changed at an activation.
func (m *Manager) record(ctx context.Context, r *Running, a projections.ActivationRow) error {
	c, err := m.newComparison(ctx, r, a.From)
	if err != nil {
		return err
	}
	if err := c.Run(ctx, a.Seq, func(context.Context) error { return nil }); m.again(ctx, err) {
		return nil // the earlier one is folded again; the next turn waits for it
	} else if err != nil {
		return err
	}
	sum, err := m.history.Record(c, a.Seq)
	if m.historyLost() {
		<-ctx.Done()
		return ctx.Err()
	}
	if errors.Is(err, projections.ErrCorrupt) {
		m.o.Host.Quarantine(fmt.Sprintf("what changed at the activation at %d cannot be recorded: %v; delete "+
			"derived/ and generations/",
			a.Seq, err))
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("record the activation at %d: %w", a.Seq, err)
	}
	m.log.Info("recorded what changed at an activation", "activation", a.Seq, "flips", sum.Flips)
	m.notify()
	return nil
}
