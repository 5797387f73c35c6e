package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/wire"
)

// redeemPath is the peer RPC at which a member hands a redemption to the leader.
const redeemPath = "/v1/redeem"

// Times of a node that shows its join token.
const (
	redeemEvery = 2 * time.Second
	redeemLimit = 10 * time.Second // of one question
)

// maxRedemption bounds what a node sends with its token, in bytes.
const maxRedemption = 4 << 10

// handleJoins lets nodes that were invited add themselves.
func handleJoins(n *Node) {
	n.cluster.Handle(cluster.JoinPath, func(ctx context.Context, from string, body []byte) ([]byte, error) {
		r, err := readRedemption(body)
		if err != nil {
			return nil, err
		}
		r.Node, r.Incarnation, r.Via = from, cluster.CallerIncarnation(ctx), n.cfg.NodeID
		return redeem(ctx, n, r)
	})
	n.cluster.Handle(redeemPath, func(ctx context.Context, from string, body []byte) ([]byte, error) {
		r, err := readRedemption(body)
		if err != nil {
			return nil, err
		}
		r.Via = from
		return redeemHere(ctx, n, r)
	})
}

func readRedemption(body []byte) (r operator.Redemption, err error) {
	if len(body) > maxRedemption || json.Unmarshal(body, &r) != nil {
		return r, &cluster.RemoteError{Code: string(wire.CodeBadRequest), Message: "the join token was not understood"}
	}
	return r, nil
}

// redeem adds the node here if this node leads, and asks the leader otherwise.
func redeem(ctx context.Context, n *Node, r operator.Redemption) ([]byte, error) {
	leader, ok := n.cluster.Leader()
	if !ok || leader == n.cfg.NodeID {
		return redeemHere(ctx, n, r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return n.cluster.Call(ctx, leader, redeemPath, body)
}

func redeemHere(ctx context.Context, n *Node, r operator.Redemption) ([]byte, error) {
	if !n.raft.IsLeader() {
		return nil, &cluster.RemoteError{Code: codeNoLeader, Message: "this node does not lead"}
	}
	a, err := n.operator.Members.Redeem(ctx, r)
	var p *wire.Problem
	switch {
	case errors.As(err, &p):
		return nil, &cluster.RemoteError{Code: string(p.Code), Message: p.Detail}
	case err != nil:
		n.log.Warn("a join token was refused", "node", r.Node, "through", r.Via, "error", err)
		return nil, err
	}
	n.log.Info("a node joined with its token", "node", r.Node, "through", r.Via, "seq", a.Seq)
	return json.Marshal(a)
}

// joinedFrom answers cluster.Config.JoinedFrom from the folded log.
func joinedFrom(d *fsm.Derived) func(id string) (incarnation string, index uint64) {
	return func(id string) (incarnation string, index uint64) {
		index, _, _, _ = d.Meta() // before the row, which is then at least as new
		return d.Control().JoinedFrom(id), index
	}
}

// entrance describes the cluster to a node that is invited.
func (n *Node) entrance() (clusterID string, members []wire.JoinMember, authorities [][]byte, err error) {
	authorities, err = certs.ReadAll(n.cfg.Peer.CA)
	for _, m := range n.cluster.Configuration().Members {
		members = append(members, wire.JoinMember{ID: m.ID, Peer: m.PeerAddr, API: n.roll.apiOf(m.ID)})
	}
	return n.cfg.ClusterID, members, authorities, err
}

// CheckJoining reports the faults for which node self cannot join a cluster with a list of itself and members.
func CheckJoining(self string, list []Voter) error {
	return errors.Join(Config{Join: true, NodeID: self, Voters: list}.validateVoters()...)
}

// entry is the way of this node into the cluster by its join token.
type entry struct {
	token   wire.JoinToken
	refused atomic.Pointer[string] // by a member, permanently
}

// newEntry reads the token of a node that is not in the log of its cluster yet, and returns nil for every other node.
func newEntry(n *Node) (*entry, error) {
	joining, err := cluster.Joining(n.cfg.Dir)
	if err != nil || !joining || n.cfg.JoinTokenFile == "" {
		return nil, err
	}
	if last, err := n.store.LastIndex(); err != nil || last > 0 {
		return nil, err
	}
	text, err := secretfile.Read(n.cfg.JoinTokenFile)
	if err != nil {
		return nil, fmt.Errorf("join_token_file: %w", err)
	}
	t, err := wire.ParseJoinToken(string(text))
	switch {
	case err != nil:
		return nil, fmt.Errorf("join_token_file: %s: %w", n.cfg.JoinTokenFile, err)
	case t.ClusterID != n.cfg.ClusterID:
		return nil, fmt.Errorf("join_token_file: %s is for the cluster %s, and cluster_id is %s", n.cfg.JoinTokenFile,
			t.ClusterID, n.cfg.ClusterID)
	case t.NodeID != n.cfg.NodeID:
		return nil, fmt.Errorf("join_token_file: %s invites %s, and node_id is %s", n.cfg.JoinTokenFile, t.NodeID,
			n.cfg.NodeID)
	}
	return &entry{token: t}, nil
}

// redeemToken shows the join token to the members until one has added this node or refuses the token.
func redeemToken(ctx context.Context, n *Node) error {
	for n.entry != nil {
		err := showToken(ctx, n)
		var refused *cluster.RemoteError
		switch {
		case err == nil:
			n.log.Info("the cluster has added this node with its join token")
			<-ctx.Done()
		case errors.As(err, &refused) && strings.HasPrefix(refused.Code, "join_token_"):
			n.log.Error("the cluster refuses the join token of this node", "code", refused.Code,
				"error", refused.Message)
			n.entry.refused.Store(&refused.Message)
			<-ctx.Done()
		default:
			n.log.Warn("no member has added this node with its join token yet", "error", err)
		}
		if err := pause.For(ctx, redeemEvery); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// showToken asks the members of the settings, one after the other. It returns the answer of the first one that decides.
func showToken(ctx context.Context, n *Node) error {
	body, err := json.Marshal(operator.Redemption{ClusterID: n.entry.token.ClusterID, Secret: n.entry.token.Secret})
	if err != nil {
		return err
	}
	var errs []error
	for _, member := range n.cfg.others() {
		ask, cancel := context.WithTimeout(ctx, redeemLimit)
		_, err := n.cluster.Call(ask, member, cluster.JoinPath, body)
		cancel()
		var refused *cluster.RemoteError
		if err == nil || errors.As(err, &refused) && strings.HasPrefix(refused.Code, "join_token_") {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", member, err))
	}
	return errors.Join(errs...)
}

// reason returns the refusal of the token, "" for none.
func (e *entry) reason() string {
	if e == nil || e.refused.Load() == nil {
		return ""
	}
	return "the cluster refuses the join token: " + *e.refused.Load()
}
