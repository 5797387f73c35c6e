package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// startStep bounds how far ahead of log time the agreed time may be at a start.
const startStep = 30 * 24 * time.Hour

// acceptedFor bounds how long a time that an operator accepted for a start counts.
const acceptedFor = time.Hour

// clockPause lies between two looks at the clock, for the log.
const clockPause = 200 * time.Millisecond

// ledgerClock keeps this node to the time that the voters agree on, and moves log time when nothing else does.
type ledgerClock struct {
	cfg     *Config
	cluster *cluster.Cluster // nil before it is open
	derived *fsm.Derived
	log     *slog.Logger

	caughtUp *atomic.Bool // this node has once folded all that was committed
	held     atomic.Bool  // the agreed time was compared with log time
	stepping sync.Mutex   // held while log time is moved over a gap
}

// Now returns the time that a majority of the voters agreed on, carried on by this node's monotonic clock.
// Before there is an agreement it returns the time of this node's wall clock.
func (c *ledgerClock) Now() time.Time {
	if c.cluster == nil {
		return c.cfg.Clock()
	}
	now, _ := c.cluster.AgreedTime()
	return now
}

// readable rounds a difference of clocks for people. It is measured over the network, so the milliseconds of a long one
// mean nothing and change with every look.
func readable(d time.Duration) time.Duration {
	if d.Abs() < 10*time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

// check describes the fault of this node's clock, nil when there is none.
func (c *ledgerClock) check() error {
	s := c.cluster.Clock()
	off := readable(s.Offset)
	switch {
	case s.OK:
		return c.checkStart()
	case s.Agree > 0:
		return fmt.Errorf("the clock of this node is off by %s from that of %d of %d voters; set it right", off,
			s.Agree, s.Voters)
	case s.Voters == 0:
		return errors.New("this node waits to be added to the cluster")
	case s.Heard <= s.Voters/2:
		return fmt.Errorf("only %d of %d voters told their time lately, this node included", s.Heard, s.Voters)
	case s.Stepped:
		return fmt.Errorf("the clock stepped by %s against the time that passed, and no majority of the voters "+
			"vouches for either; "+
			"set the clocks right or, when they are right now, start most nodes again", off)
	}
	return fmt.Errorf("no majority of the voters agrees on the time; this clock is off by %s from what was "+
		"agreed last; compare the clocks of the nodes",
		off)
}

// Disputed returns the problem of a submission while enough voters are heard but no majority agrees on the
// time. Waiting for another leader would not help.
func (c *ledgerClock) Disputed() *wire.Problem {
	s := c.cluster.Clock()
	if s.OK && c.checkStart() == nil || s.Agree > 0 && !s.OK || s.Heard <= s.Voters/2 {
		return nil
	}
	return wire.NewProblem(wire.CodeClock, c.check().Error()).WithRetry(retryAfter)
}

// checkStart compares the agreed time with log time until this node has once led or caught up. From then on the
// elapsed time is checked instead. On a node that has yet to fold what others logged, the time may be any
// distance ahead.
func (c *ledgerClock) checkStart() error {
	_, leads := c.cluster.IsLeader()
	return c.startFault(leads)
}

// startFault does the comparison of checkStart for a node as a leader, whether it leads or not, or as a
// follower. A node that has no other voter to ask must not be behind at all.
func (c *ledgerClock) startFault(leads bool) error {
	last := c.derived.Cursor().LogTime
	if last == 0 || c.held.Load() {
		return nil
	}
	behind, who := c.cfg.MaxClockSkew,
		"the clock says %s, which is %s from the time of the newest event, and no other voter can be asked"
	if c.cluster.Clock().Voters > 1 {
		behind, who = cluster.MaxJointStep+c.cfg.MaxClockSkew,
			"the clocks of the voters say %s, which is %s from the time of the newest event"
	}
	now := c.Now()
	ahead := now.Sub(time.Unix(0, last))
	if ahead >= -behind && (ahead <= startStep || !leads) || now.Sub(c.cfg.AcceptClock).Abs() <= acceptedFor {
		return nil
	}
	return fmt.Errorf(who+"; set it right or, when it is right, start with --accept-clock %[1]s",
		now.UTC().Format(time.RFC3339), readable(ahead))
}

// hold ends the comparison with log time when this node could lead with it. A follower that has caught up may
// serve without, but it must not lead one day with a time that no leader was allowed to begin with.
func (c *ledgerClock) hold() {
	if c.check() == nil && c.startFault(true) == nil {
		c.cluster.HoldTime()
		c.held.Store(true)
	}
}

// watch logs when the clock of this node goes wrong and when it is right again.
func (c *ledgerClock) watch(ctx context.Context) error {
	said := ""
	for {
		if err := pause.For(ctx, clockPause); err != nil {
			return err
		}
		if c.caughtUp.Load() && !c.held.Load() { // the clock was off at that moment, or log time far behind
			c.hold()
		}
		err := c.check()
		switch kind := c.kind(err); {
		case kind == said:
		case err != nil:
			c.log.Warn("the clock: this node does not lead until this is over", "clock", err.Error())
			said = kind
		default:
			c.log.Info("the clock: a majority of the voters agrees with it")
			said = kind
		}
	}
}

// kind returns a description of the state without its figures. It changes with everything else.
func (c *ledgerClock) kind(err error) string {
	s := c.cluster.Clock()
	return fmt.Sprint(err == nil, s.OK, s.Agree > 0, s.Stepped, s.Heard > s.Voters/2)
}

var errNoAgreement = errors.New("no majority of the voters has agreed on the time yet")

// stepAfter bounds the gap between log time and the agreed time. Over a larger one the leader moves log time
// with an event of its own, before its next pack. It is well within what one pack may move it.
const stepAfter = time.Duration(fsm.MaxStep) / 2

// step moves log time over a gap, as after a week without submissions or without a cluster. The voters that agreed on
// the time are named in the event.
func (c *ledgerClock) step(ctx context.Context) error {
	if !c.gapped() {
		return nil
	}
	c.stepping.Lock()
	defer c.stepping.Unlock()
	if !c.gapped() {
		return nil
	}
	now, voters := c.cluster.AgreedTime()
	if len(voters) == 0 {
		return errNoAgreement
	}
	before := c.derived.Cursor().LogTime
	ev, err := propose.NewEvent(event.ClockStep, &event.ClockStepV1{
		Node:   c.cfg.NodeID,
		Before: before,
		After:  now.UnixNano(),
		Reason: "nothing was logged for this long",
		Agreed: voters,
		Voters: uint32(c.cluster.Clock().Voters),
	})
	if err != nil {
		return err
	}
	pack := event.Pack{ProposedAt: now.UnixNano(), Events: []event.Event{ev}}
	index, err := c.cluster.Propose(pack.Append(nil)).Wait(ctx)
	if err == nil {
		err = c.derived.WaitIndex(ctx, index)
	}
	if err != nil {
		return fmt.Errorf("move log time: %w", err)
	}
	c.log.Info("log time moves on", "from", time.Unix(0, before).UTC(), "to", now.UTC(), "voters", voters)
	return nil
}

// quietStep bounds the gap while nothing is to be logged. Over a larger one the leader moves log time all the
// same. It is well within what a node may find at a start, so that the nodes of a ledger without submissions
// can be started again one after the other.
const quietStep = startStep / 2

// stepWhenQuiet moves log time of a ledger without submissions, if this node may propose.
func (c *ledgerClock) stepWhenQuiet(ctx context.Context, mayPropose func() error) error {
	last := c.derived.Cursor().LogTime
	if last == 0 || c.Now().Sub(time.Unix(0, last)) <= quietStep || mayPropose() != nil {
		return nil
	}
	return c.step(ctx)
}

// gapped reports whether log time is far behind the agreed time.
func (c *ledgerClock) gapped() bool {
	last := c.derived.Cursor().LogTime
	return last != 0 && c.Now().Sub(time.Unix(0, last)) > stepAfter
}

// LogTime returns the least log time that the next event may have, in Unix nanoseconds.
func (c *ledgerClock) LogTime() int64 { return max(c.derived.Cursor().LogTime, c.Now().UnixNano()) }
