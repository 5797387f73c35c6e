package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/propose"
)

// Codes of refused forwards on the peer RPC.
const (
	codeNoLeader   = "no_leader"
	codeOverloaded = "overloaded"
	codeDisk       = "disk"
	codeBadPack    = "bad_pack"
)

// errLeaderDisk refuses packs of other nodes, with which the disk would run full.
var errLeaderDisk = errors.New("the leader is short of disk space, and too few others have space: free space " +
	"on a majority of the nodes")

// raftLog gives the packer its view of consensus.
type raftLog struct {
	self       string // the id of this node
	log        *slog.Logger
	peers      peers
	leads      func() bool                     // this node leads, and its term is open for writes
	mayPropose func() error                    // the reason why this node, as a leader, takes no proposals
	step       func(ctx context.Context) error // moves log time over a gap
	propose    func(ctx context.Context, entry []byte) (index uint64, err error)
	committed  func(index, term uint64) // learns from the leader that this entry is committed
}

// peers is the part of the cluster that carries requests to the leader. *cluster.Cluster implements it.
type peers interface {
	// Leader names the leader, if one is known. Watch returns a channel that is closed when that may have changed.
	Leader() (id string, ok bool)
	Watch() <-chan struct{}
	// Call sends a peer RPC to another node and returns its reply.
	Call(ctx context.Context, nodeID, path string, body []byte) ([]byte, error)
}

func (n *Node) newRaftLog() *raftLog {
	return &raftLog{
		self:       n.cfg.NodeID,
		log:        n.log,
		peers:      n.cluster,
		leads:      n.lead.leads,
		mayPropose: n.mayPropose,
		step:       n.clock.step,
		propose: func(ctx context.Context, entry []byte) (uint64, error) {
			return n.cluster.Propose(entry).Wait(ctx)
		},
		committed: n.store.CommittedAt,
	}
}

func (l *raftLog) IsLeader() bool { return l.leads() && l.mayPropose() == nil }

// mayPropose returns the reason why this node, as a leader, takes no proposals now.
func (n *Node) mayPropose() error {
	if err := n.quarantine.check(); err != nil {
		return fmt.Errorf("quarantined: %w", err)
	}
	if reason := n.doubts.Suspended(); reason != "" {
		return fmt.Errorf("suspended: %s", reason)
	}
	if n.cluster.Yielding() {
		return errYielding
	}
	return n.clock.check()
}

func (l *raftLog) Propose(ctx context.Context, entry []byte) (uint64, error) {
	if err := l.step(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", propose.ErrNoLeader, err)
	}
	index, err := l.propose(ctx, entry)
	if errors.Is(err, cluster.ErrNotLeader) || errors.Is(err, cluster.ErrBusy) {
		return 0, propose.ErrNoLeader
	}
	return index, err
}

func (l *raftLog) Forward(ctx context.Context, pack []byte) (propose.LogPosition, error) {
	leader, ok := l.peers.Leader()
	if !ok || leader == l.self {
		return propose.LogPosition{}, propose.ErrNoLeader
	}
	reply, err := forwardTo(ctx, l.peers, leader, pack)
	var remote *cluster.RemoteError
	if errors.As(err, &remote) {
		switch remote.Code {
		// the second by a leader of an older release, the third before the leader looked at the pack
		case codeNoLeader, cluster.CodeNoHandler, cluster.CodeRemoved:
			return propose.LogPosition{}, propose.ErrNoLeader
		case codeDisk:
			return propose.LogPosition{}, fmt.Errorf("%w: %w", propose.ErrOverloaded, errLeaderDisk)
		case codeOverloaded:
			return propose.LogPosition{}, propose.ErrOverloaded
		case codeBadFacts:
			l.log.Error("the leader refuses a pack of this node; examine this node", "error", remote.Message)
			return propose.LogPosition{}, fmt.Errorf("%w: %s", propose.ErrOverloaded, remote.Message)
		}
	}
	if err != nil {
		return propose.LogPosition{}, err
	}
	r, err := decodeForwardReply(reply)
	if err != nil {
		return propose.LogPosition{}, err
	}
	l.committed(r.Index, r.term)
	return r.LogPosition, nil
}

func (l *raftLog) Changed() <-chan struct{} { return l.peers.Watch() }

// acceptForward packs the events that another node sends to this leader.
func (n *Node) acceptForward(ctx context.Context, from string, body []byte) ([]byte, error) {
	if n.disk.Short() && !n.cluster.Yielding() { // else the next leader takes it
		return nil, &cluster.RemoteError{Code: codeDisk, Message: errLeaderDisk.Error()}
	}
	run, events, err := event.DecodeRun(body)
	if err != nil {
		return nil, &cluster.RemoteError{Code: codeBadPack, Message: err.Error()}
	}
	for _, e := range events {
		if err := n.checkForwarded(ctx, e, from); err != nil {
			return nil, err
		}
	}
	place, err := n.packer.Accept(ctx, run)
	switch {
	case errors.Is(err, propose.ErrNoLeader), errors.Is(err, propose.ErrClosed):
		return nil, &cluster.RemoteError{Code: codeNoLeader, Message: err.Error()}
	case errors.Is(err, propose.ErrOverloaded):
		return nil, &cluster.RemoteError{Code: codeOverloaded, Message: err.Error()}
	case err != nil:
		return nil, err
	}
	entry, err := n.store.Entry(place.Index)
	if err != nil {
		return nil, err
	}
	return forwardReply{place, entry.Term}.encode(), nil
}

// checkForwarded checks one event that another node hands over.
func (n *Node) checkForwarded(ctx context.Context, e event.Event, from string) error {
	sub, err := notForwarded(e, from)
	if err != nil {
		return &cluster.RemoteError{Code: codeBadPack, Message: err.Error()}
	}
	if e.Kind != event.Submission {
		return nil
	}
	switch err := n.facts.checkForwarded(ctx, sub, from); {
	case errors.Is(err, errFalseFacts):
		return &cluster.RemoteError{Code: codeBadFacts, Message: err.Error()}
	case errors.Is(err, errNewMode):
		return &cluster.RemoteError{Code: codeOverloaded, Message: err.Error()}
	default:
		return err
	}
}
