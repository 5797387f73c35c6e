package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Transfer makes another voter the leader, a certain one or, with an empty id, the one that holds most, and returns
// its id. This node proposes nothing meanwhile. It does not use the transfer of the library, which can leave Raft
// unable to propose: it waits until nothing is in flight and the voter holds every entry, since one that lacks the
// last entry loses its election. Then it sends the request on which a voter elects itself. If that fails, this node
// leads on. Errors: ErrNotLeader, ErrNotVoter, ErrNotMoved, ErrOtherLeads.
func (c *Cluster) Transfer(ctx context.Context, to string) (leader string, err error) {
	select {
	case c.changing <- struct{}{}:
		defer func() { <-c.changing }()
	case <-ctx.Done():
		return "", fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	if _, ok := c.IsLeader(); !ok {
		return "", ErrNotLeader
	}
	asked := to
	if to, err = c.awaitSuccessor(ctx, to); err != nil {
		return "", err
	}
	c.handing.Store(true)
	defer c.handing.Store(false)
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.Timings.Election)
	defer cancel()
	if err := c.await(ctx, func() bool {
		match, _ := c.watchdog.progress(to)
		return c.pending.none() && match >= c.raft.Load().LastIndex()
	}); err != nil {
		return "", fmt.Errorf("%w: %s lacks entries", ErrNotMoved, to)
	}
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax,
		ID: []byte(c.cfg.NodeID), Addr: []byte(c.cfg.NodeID)}}
	if err := c.trans.TimeoutNow(raft.ServerID(to), raft.ServerAddress(to), req, &raft.TimeoutNowResponse{}); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrNotMoved, to, err)
	}
	err = c.await(ctx, func() bool {
		var ok bool
		leader, ok = c.Leader()
		return ok && leader != c.cfg.NodeID
	})
	if err != nil {
		return "", fmt.Errorf("%w: %s was asked", ErrNotMoved, to)
	}
	c.log.Info("cluster: leadership transferred", "to", leader)
	if asked != "" && leader != asked {
		return "", fmt.Errorf("%w: %s", ErrOtherLeads, leader)
	}
	return leader, nil
}

// CheckTransfer returns the error that Transfer would return at once.
func (c *Cluster) CheckTransfer(ctx context.Context, to string) error {
	if _, ok := c.IsLeader(); !ok {
		return ErrNotLeader
	}
	_, err := c.awaitSuccessor(ctx, to)
	return err
}

// awaitSuccessor is successor for a leader that may have been elected just now and has heard nobody yet.
func (c *Cluster) awaitSuccessor(ctx context.Context, to string) (found string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timings.Election)
	defer cancel()
	_ = c.await(ctx, func() bool {
		found, err = c.successor(to)
		return err == nil
	})
	return found, err
}

// successor checks the voter that is to lead, or chooses the one that holds most.
func (c *Cluster) successor(to string) (string, error) {
	now := c.members.now()
	if to != "" {
		if _, alive := c.watchdog.progress(to); !alive || !now.votes(to) || to == c.cfg.NodeID {
			return "", fmt.Errorf("%w: %s", ErrNotVoter, to)
		}
		return to, nil
	}
	best := uint64(0)
	for _, v := range now.voters {
		if match, alive := c.watchdog.progress(v); v != c.cfg.NodeID && alive && (to == "" || match > best) {
			to, best = v, match
		}
	}
	if to == "" {
		return "", fmt.Errorf("%w: there is no other one", ErrNotVoter)
	}
	return to, nil
}

// await polls until cond holds or ctx ends.
func (c *Cluster) await(ctx context.Context, cond func() bool) error {
	tick := time.NewTicker(commitPoll)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.stop.Done():
			return ErrShutdown
		}
	}
	return nil
}
