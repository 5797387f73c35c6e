package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// Errors of changes of the members. Compare with errors.Is. Nothing has changed after any of them.
var (
	ErrIDUsed      = errors.New("cluster: a node id is used once, and this one is or was a member")
	ErrAddressUsed = errors.New("cluster: another member has this address")
	ErrBadMember   = errors.New("cluster: no valid member")
	ErrBadAddress  = errors.New("cluster: no valid address")
	ErrNoAnswer    = errors.New("cluster: the node cannot be reached at its address; start it there with " +
		"join, then add it")
	ErrOtherNode = errors.New("cluster: another directory of the node answers at its address; the one that is " +
		"there must show the token")
	ErrNotCaughtUp = errors.New("cluster: the learner has not kept up with the leader for long enough")
	ErrLastVoter   = errors.New("cluster: it is the last voter")
	ErrTooFewLeft  = errors.New("cluster: without it, too few of the voters can be reached for a majority")
	ErrLeads       = errors.New("cluster: this node leads; transfer leadership first")
	ErrNotVoter    = errors.New("cluster: it is no voter that can be reached")
	ErrNotMoved    = errors.New("cluster: no other voter took over leadership in time; this node leads on")
	ErrOtherLeads  = errors.New("cluster: another voter than the one asked for took over leadership; ask again")
)

// askLearner bounds the question to a node that is to be added.
const askLearner = 5 * time.Second

// ChangeKind names the effect of a Change.
type ChangeKind string

// The kinds of changes.
const (
	Added    ChangeKind = "added"    // a learner, which gets all entries and does not vote
	Promoted ChangeKind = "promoted" // from learner to voter
	Removed  ChangeKind = "removed"  // permanently
	Moved    ChangeKind = "moved"    // to another peer address
	Invited  ChangeKind = "invited"  // changes nothing yet: the node may be added later, when it runs
)

// Change is one change of the members.
type Change struct {
	Kind ChangeKind
	ID   string
	Addr string // host:port, for Added and Moved
	// Incarnation is that of the directory which must answer at Addr, "" for any. For Added.
	Incarnation string
}

// Change makes a change. See AddLearner, Promote, Remove and SetAddress.
func (c *Cluster) Change(ctx context.Context, ch Change) error {
	of, err := c.changeOf(ctx, ch)
	if err != nil {
		return err
	}
	return c.change(ctx, of, false)
}

// CheckChange returns the error that Change would return at once. done means that there is nothing to change.
func (c *Cluster) CheckChange(ctx context.Context, ch Change) (done bool, err error) {
	of, err := c.changeOf(ctx, ch)
	if err != nil {
		return false, err
	}
	err = c.change(ctx, func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
		request, err := of(now)
		done = err == nil && request == nil
		return request, err
	}, true)
	return done, err
}

func (c *Cluster) changeOf(ctx context.Context, ch Change) (changeOf, error) {
	switch ch.Kind {
	case Added:
		return c.addition(ctx, ch), checkMember(ch.ID, ch.Addr)
	case Invited:
		return func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
			return nil, c.members.unused(now, ch.ID, ch.Addr)
		}, checkMember(ch.ID, ch.Addr)
	case Promoted:
		return c.promotion(ch.ID), nil
	case Removed:
		return c.removal(ctx, ch.ID), nil
	case Moved:
		return c.move(ch.ID, ch.Addr), checkMember(ch.ID, ch.Addr)
	}
	return nil, fmt.Errorf("%w: no change is called %q", ErrBadMember, ch.Kind)
}

// changeOf returns the request for Raft that changes a configuration, or nil if there is nothing to change.
type changeOf func(now *configuration) (func(r *raft.Raft) raft.IndexFuture, error)

// change makes one change of the configuration, as the leader, and returns when it is committed. Changes happen one
// after the other, each from a configuration that is applied. Errors besides those above: ErrNotLeader and ErrBusy,
// after which nothing has changed, ErrLeadershipLost, ErrShutdown and ctx's error, after which the outcome is
// unknown. With dry it only finds out whether the change may be made.
func (c *Cluster) change(ctx context.Context, of changeOf, dry bool) error {
	select {
	case c.changing <- struct{}{}:
		defer func() { <-c.changing }()
	case <-ctx.Done():
		return fmt.Errorf("%w: another change of the members: %w", ErrBusy, ctx.Err())
	}
	term, ok := c.IsLeader()
	if !ok {
		return ErrNotLeader
	}
	if _, err := c.reads.committedInTerm(ctx, term); err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	now, err := c.applied(ctx)
	if err != nil {
		return err
	}
	request, err := of(now)
	if err != nil || request == nil || dry {
		return err
	}
	if !c.pending.add() {
		return ErrNotLeader
	}
	future := request(c.raft.Load())
	done := make(chan error, 1)
	go func() {
		defer c.pending.finish()
		done <- c.proposalError(future.Error())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// applied returns the newest configuration once it is applied, so that MetaSource.Removed knows all before it.
func (c *Cluster) applied(ctx context.Context) (*configuration, error) {
	tick := time.NewTicker(commitPoll)
	defer tick.Stop()
	for {
		now := c.members.now()
		if index, _, _, _ := c.logs.meta.Meta(); index >= now.index {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: the last change of the members is not applied yet", ErrBusy)
		}
	}
}

// AddLearner adds a node that gets all entries and does not vote. The node must run with Config.Join at the
// address. Its id must be new. Adding a learner again changes nothing.
func (c *Cluster) AddLearner(ctx context.Context, id, addr string) error {
	return c.Change(ctx, Change{Kind: Added, ID: id, Addr: addr})
}

func (c *Cluster) addition(ctx context.Context, ch Change) changeOf {
	id, addr := ch.ID, ch.Addr
	return func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
		m, ok := now.member(id)
		there := ok && m.PeerAddr == addr && !m.Votes()
		if there && ch.Incarnation == "" {
			return nil, nil
		}
		if err := c.members.unused(now, id, addr); err != nil && !there {
			return nil, err
		}
		incarnation, err := c.greet(ctx, id, addr)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %s at %s: %w", ErrNoAnswer, id, addr, err)
		case ch.Incarnation != "" && ch.Incarnation != incarnation:
			return nil, fmt.Errorf("%w: %s at %s", ErrOtherNode, id, addr)
		case there:
			return nil, nil
		}
		return func(r *raft.Raft) raft.IndexFuture {
			return r.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), now.index, c.cfg.Timings.Election)
		}, nil
	}
}

// unused refuses an id that is or was that of a member, and an address that another member has.
func (m *membership) unused(now *configuration, id, addr string) error {
	if _, ok := now.member(id); ok || m.removed(id) != 0 {
		return fmt.Errorf("%w: %s; draw a new id", ErrIDUsed, id)
	}
	return now.free(id, addr)
}

// Promote makes a voter of a learner that has kept up with the leader. Promoting a voter changes nothing.
func (c *Cluster) Promote(ctx context.Context, id string) error {
	return c.Change(ctx, Change{Kind: Promoted, ID: id})
}

func (c *Cluster) promotion(id string) changeOf {
	return func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
		m, ok := now.member(id)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
		case m.Votes():
			return nil, nil
		}
		if err := c.learners.keptUp(id); err != nil {
			return nil, err
		}
		return c.setVoter(now, m), nil
	}
}

func (c *Cluster) setVoter(now *configuration, m Member) func(*raft.Raft) raft.IndexFuture {
	return func(r *raft.Raft) raft.IndexFuture {
		return r.AddVoter(raft.ServerID(m.ID), raft.ServerAddress(m.PeerAddr), now.index, c.cfg.Timings.Election)
	}
}

// SetAddress changes the address at which the others reach a member. Setting the same one changes nothing.
func (c *Cluster) SetAddress(ctx context.Context, id, addr string) error {
	return c.Change(ctx, Change{Kind: Moved, ID: id, Addr: addr})
}

func (c *Cluster) move(id, addr string) changeOf {
	return func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
		m, ok := now.member(id)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
		case m.PeerAddr == addr:
			return nil, nil
		}
		if err := now.free(id, addr); err != nil {
			return nil, err
		}
		m.PeerAddr = addr
		if m.Votes() {
			return c.setVoter(now, m), nil
		}
		return func(r *raft.Raft) raft.IndexFuture {
			return r.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), now.index, c.cfg.Timings.Election)
		}, nil
	}
}

// Remove removes a member permanently. It refuses the last voter, the leader itself, and a voter without which no
// majority of the voters can be reached.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	return c.Change(ctx, Change{Kind: Removed, ID: id})
}

func (c *Cluster) removal(ctx context.Context, id string) changeOf {
	return func(now *configuration) (func(*raft.Raft) raft.IndexFuture, error) {
		m, ok := now.member(id)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
		case m.Votes() && len(now.voters) == 1:
			return nil, fmt.Errorf("%w: %s", ErrLastVoter, id)
		case id == c.cfg.NodeID:
			return nil, ErrLeads
		}
		if m.Votes() {
			if err := c.reachWithout(ctx, now, id); err != nil {
				return nil, err
			}
		}
		return func(r *raft.Raft) raft.IndexFuture {
			return r.RemoveServer(raft.ServerID(id), now.index, c.cfg.Timings.Election)
		}, nil
	}
}

// reachWithout makes sure that this leader reaches a majority of the voters without one of them. A leader that was
// just elected has heard nobody yet, so it waits a little.
func (c *Cluster) reachWithout(ctx context.Context, now *configuration, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timings.Election)
	defer cancel()
	left, reached := len(now.voters)-1, 0
	err := c.await(ctx, func() bool {
		reached = 0
		for _, v := range now.voters {
			if _, alive := c.watchdog.progress(v); v != id && (alive || v == c.cfg.NodeID) {
				reached++
			}
		}
		return reached > left/2
	})
	if err != nil {
		return fmt.Errorf("%w: %d of %d answer; bring the others back, or add a new node first", ErrTooFewLeft,
			reached, left)
	}
	return nil
}

func checkMember(id, addr string) error {
	if err := certs.CheckID(id); err != nil {
		return fmt.Errorf("%w: id %q: %w", ErrBadMember, id, err)
	}
	return CheckPeerAddress(addr)
}

// CheckPeerAddress returns ErrBadAddress unless other nodes could dial addr: a host, and a port from 1 to 65535.
func CheckPeerAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || host == "" || n == 0 {
		return fmt.Errorf("%w: %q is not host:port", ErrBadAddress, addr)
	}
	return nil
}

// free refuses an address that another member has.
func (c *configuration) free(id, addr string) error {
	for _, m := range c.members {
		if m.ID != id && m.PeerAddr == addr {
			return fmt.Errorf("%w: %s is at %s", ErrAddressUsed, m.ID, addr)
		}
	}
	return nil
}

// greet makes sure that a node that is to be added runs, has a certificate of this cluster and accepts this one. It
// returns the incarnation of its directory.
func (c *Cluster) greet(ctx context.Context, id, addr string) (incarnation string, err error) {
	_, theirs, err := callAt(ctx, c, id, addr, pathTerm)
	return theirs.incarnation, err
}

// AskAt returns Config.About of a node that need not be a member, at its peer address. Errors are those of
// Cluster.Call. A build from before this question answers with CodeNoHandler.
func AskAt(ctx context.Context, c *Cluster, id, addr string) ([]byte, error) {
	out, _, err := callAt(ctx, c, id, addr, pathAbout)
	return out, err
}

func callAt(ctx context.Context, c *Cluster, id, addr, path string) ([]byte, hello, error) {
	ctx, cancel := context.WithTimeout(ctx, min(askLearner, c.cfg.rpcDeadline))
	defer cancel()
	p := newPeerClientAt(c.peer, Voter{ID: id, PeerAddr: addr})
	defer p.close()
	return p.exchange(ctx, path, nil)
}
