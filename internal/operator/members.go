package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// Membership changes who belongs to the cluster. *cluster.Cluster implements it.
type Membership interface {
	CheckChange(ctx context.Context, ch cluster.Change) (done bool, err error)
	Change(ctx context.Context, ch cluster.Change) error
	CheckTransfer(ctx context.Context, to string) error
	Transfer(ctx context.Context, to string) (leader string, err error)
}

// Members changes the members of the cluster. Each change has an event, which comes first. A change that failed after
// its event is asked for again. The configuration of the Raft log says who the members are.
type Members struct{ core *core }

// AddMember adds a node as a learner.
func (ms *Members) AddMember(ctx context.Context, r wire.MemberRequest, meta api.Meta) (*wire.MemberAnswer, error) {
	m := &event.MemberChangedV1{PeerAddress: r.PeerAddress, ApiAddress: r.APIAddress, Op: ms.core.op(r.Op, meta)}
	return ms.change(ctx, cluster.Change{Kind: cluster.Added, ID: r.NodeID, Addr: r.PeerAddress}, m)
}

// PromoteMember makes a voter of a learner that has kept up.
func (ms *Members) PromoteMember(ctx context.Context, id string, op wire.Op,
	meta api.Meta) (*wire.MemberAnswer, error) {
	return ms.change(ctx, cluster.Change{Kind: cluster.Promoted, ID: id},
		&event.MemberChangedV1{Op: ms.core.op(op, meta)})
}

// RemoveMember removes a member permanently. To remove the leader, it moves leadership and refuses: the next leader
// does it when it is asked again.
func (ms *Members) RemoveMember(ctx context.Context, id string, op wire.Op,
	meta api.Meta) (*wire.MemberAnswer, error) {
	a, err := ms.change(ctx, cluster.Change{Kind: cluster.Removed, ID: id},
		&event.MemberChangedV1{Op: ms.core.op(op, meta)})
	if !errors.Is(err, cluster.ErrLeads) {
		return a, err
	}
	op.OpID = "" // it names the removal
	to, err := ms.TransferLeadership(ctx, wire.LeaderRequest{Op: op}, meta)
	if err != nil {
		return nil, err
	}
	return nil, wire.NewProblem(wire.CodeNoLeader, fmt.Sprintf("%s led and has handed over to %s, which removes it "+
		"when you ask again", id, to.NodeID)).WithRetry(retryAfter)
}

// MoveMember changes the peer address of a member.
func (ms *Members) MoveMember(ctx context.Context, id string, r wire.MemberAddressRequest,
	meta api.Meta) (*wire.MemberAnswer, error) {
	return ms.change(ctx, cluster.Change{Kind: cluster.Moved, ID: id, Addr: r.PeerAddress},
		&event.MemberChangedV1{PeerAddress: r.PeerAddress, Op: ms.core.op(r.Op, meta)})
}

// TransferLeadership makes another voter the leader.
func (ms *Members) TransferLeadership(ctx context.Context, r wire.LeaderRequest,
	meta api.Meta) (*wire.MemberAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	switch err := ms.core.Membership.CheckTransfer(ctx, r.NodeID); {
	case errors.Is(err, cluster.ErrNotVoter) && r.NodeID == ms.core.NodeID: // it leads already
		return &wire.MemberAnswer{Change: wire.MemberLeads, NodeID: r.NodeID}, nil
	case err != nil:
		return nil, memberProblem(err)
	}
	m := &event.MemberChangedV1{Change: wire.MemberLeads, Member: r.NodeID, Op: ms.core.op(r.Op, meta)}
	seq, err := ms.log(ctx, m)
	if err != nil {
		return nil, err
	}
	to, err := ms.core.Membership.Transfer(ctx, r.NodeID)
	if err != nil {
		return nil, memberProblem(err)
	}
	return &wire.MemberAnswer{Change: wire.MemberLeads, NodeID: to, Seq: seq}, nil
}

// change checks a change, logs who asked for it, and makes it. ErrLeads comes back as it is.
func (ms *Members) change(ctx context.Context, ch cluster.Change,
	m *event.MemberChangedV1) (*wire.MemberAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	a := &wire.MemberAnswer{Change: string(ch.Kind), NodeID: ch.ID}
	done, err := ms.core.Membership.CheckChange(ctx, ch)
	if done || err != nil {
		return a, memberProblem(err)
	}
	if err := ms.knowsVersion(ctx, ch); err != nil {
		return nil, err
	}
	m.Change, m.Member = a.Change, a.NodeID
	if a.Seq, err = ms.log(ctx, m); err != nil {
		return nil, err
	}
	if err := ms.core.Membership.Change(ctx, ch); err != nil {
		return nil, memberProblem(err)
	}
	return a, nil
}

// log commits the event of a change. An older release would stop at it.
func (ms *Members) log(ctx context.Context, m *event.MemberChangedV1) (seq uint64, err error) {
	need := event.MemberChanged.Capability()
	if member := ms.core.MemberWithout(ctx, need); member != "" {
		return 0, stale("%s runs a release without %s and would stop at this event; upgrade it first", member, need)
	}
	return ms.core.commitOnce(ctx, event.MemberChanged, m, stale("the change was not logged"))
}

// memberProblem turns an error of a change into a problem that says what to do.
func memberProblem(err error) error {
	if err == nil || errors.Is(err, cluster.ErrLeads) {
		return err
	}
	var field string
	why := strings.TrimPrefix(err.Error(), "cluster: ")
	switch {
	case errors.Is(err, cluster.ErrNotLeader):
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryAfter)
	case errors.Is(err, cluster.ErrOtherLeads):
		return wire.NewProblem(wire.CodeNoLeader, why).WithRetry(retryAfter)
	case errors.Is(err, cluster.ErrBusy), errors.Is(err, cluster.ErrNotMoved):
		return wire.NewProblem(wire.CodeOverloaded, why).WithRetry(retryAfter)
	case errors.Is(err, cluster.ErrUnknownNode):
		return wire.NewProblem(wire.CodeNotFound, "there is no such member; recount cluster status lists them")
	case errors.Is(err, cluster.ErrBadMember):
		return wire.NewProblem(wire.CodeBadRequest, why).WithField("node_id")
	case errors.Is(err, cluster.ErrBadAddress):
		return wire.NewProblem(wire.CodeBadRequest, why).WithField("peer_address")
	case errors.Is(err, cluster.ErrNotCaughtUp):
		return stale("%s", why).WithRetry(retryAfter)
	case errors.Is(err, cluster.ErrIDUsed), errors.Is(err, cluster.ErrNotVoter), errors.Is(err, cluster.ErrLastVoter),
		errors.Is(err, cluster.ErrTooFewLeft):
		field = "node_id"
	case errors.Is(err, cluster.ErrAddressUsed), errors.Is(err, cluster.ErrNoAnswer),
		errors.Is(err, cluster.ErrOtherNode):
		field = "peer_address"
	default:
		return wire.NewProblem(wire.CodeOutcomeUnknown, why).WithRetry(retryAfter)
	}
	return stale("%s", why).WithField(field)
}
