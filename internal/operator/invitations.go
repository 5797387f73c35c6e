package operator

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// InviteMember lets a node that is not started yet add itself once, with the secret of which the request has the
// digest. An earlier invitation of the node ends.
func (ms *Members) InviteMember(ctx context.Context, r wire.InvitationRequest,
	meta api.Meta) (*wire.InvitationAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	digest, err := hex.DecodeString(r.Digest)
	if err != nil || len(digest) != 32 {
		return nil, wire.NewProblem(wire.CodeBadRequest, "digest: not a SHA-256 in hex").WithField("digest")
	}
	change := cluster.Change{Kind: cluster.Invited, ID: r.NodeID, Addr: r.PeerAddress}
	if _, err := ms.core.Membership.CheckChange(ctx, change); err != nil {
		return nil, memberProblem(err)
	}
	m := &event.MemberInvitedV1{
		Member:      r.NodeID,
		PeerAddress: r.PeerAddress,
		ApiAddress:  r.APIAddress,
		Sha256:      digest,
		ValidFor:    int64(time.Duration(r.ValidS) * time.Second),
		Op:          ms.core.op(r.Op, meta),
	}
	refused := stale("not invited: the secret was used before, or %d invitations are open; withdraw one or wait",
		projections.MaxInvitations)
	if _, err := ms.core.commitOnce(ctx, event.MemberInvited, m, refused); err != nil {
		return nil, err
	}
	row, ok := ms.core.control().Invitation([32]byte(digest))
	if !ok {
		return nil, refused // a repeated request, and many others since
	}
	return ms.invitationAnswer(row)
}

func (ms *Members) invitationAnswer(row projections.InvitationRow) (a *wire.InvitationAnswer, err error) {
	a = &wire.InvitationAnswer{
		NodeID:      row.Node,
		PeerAddress: row.Peer,
		APIAddress:  row.API,
		ExpiresAt:   wire.TimeNS(row.ExpiresAt),
		Seq:         row.Seq,
	}
	a.ClusterID, a.Members, a.Authorities, err = ms.core.Entrance()
	return a, err
}

// WithdrawInvitation ends the open invitation of a node.
func (ms *Members) WithdrawInvitation(ctx context.Context, id string, op wire.Op,
	meta api.Meta) (*wire.MemberAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	m := &event.InvitationWithdrawnV1{Member: id, Op: ms.core.op(op, meta)}
	none := wire.NewProblem(wire.CodeNotFound, "no invitation of this node is open")
	if !ms.invited(id) && ms.core.control().OpSeq(op.OpID) == 0 {
		return nil, none // without an event
	}
	seq, err := ms.core.commitOnce(ctx, event.InvitationWithdrawn, m, none)
	if err != nil {
		return nil, err
	}
	return &wire.MemberAnswer{Change: wire.MemberWithdrawn, NodeID: id, Seq: seq}, nil
}

// invited reports whether an invitation of a node is open.
func (ms *Members) invited(id string) bool {
	for _, row := range ms.core.control().Invitations(ms.core.Clock.LogTime()) {
		if row.Node == id {
			return true
		}
	}
	return false
}

// Redemption is the wish of a node to be added with a join token.
type Redemption struct {
	Node        string `json:"node"`        // by its certificate
	Incarnation string `json:"incarnation"` // of its directory
	Via         string `json:"via"`         // the member that it asked
	ClusterID   string `json:"cluster"`     // of the token
	Secret      []byte `json:"secret"`
}

// GoString and String hide the secret.
func (r Redemption) GoString() string { return r.String() }

func (r Redemption) String() string { return "redemption of a join token by " + r.Node }

// Redeem adds a node that was invited, as a learner. This node must lead. The same directory of the node may ask
// again, for instance when it got no answer. A *cluster.RemoteError of a code wire.JoinToken... refuses the token,
// permanently.
func (ms *Members) Redeem(ctx context.Context, r Redemption) (*wire.MemberAnswer, error) {
	if err := ms.core.current(ctx); err != nil {
		return nil, err
	}
	row, err := ms.invitation(r)
	if err != nil {
		return nil, err
	}
	change := cluster.Change{Kind: cluster.Added, ID: row.Node, Addr: row.Peer, Incarnation: r.Incarnation}
	a := &wire.MemberAnswer{Change: string(change.Kind), NodeID: row.Node, Seq: row.Seq}
	done, err := ms.core.Membership.CheckChange(ctx, change)
	if err != nil || done && row.End == projections.EndedByNode {
		return a, memberProblem(err)
	}
	if err := ms.knowsVersion(ctx, change); err != nil {
		return nil, err
	}
	if row.End == projections.NotEnded {
		if a.Seq, err = ms.logRedemption(ctx, row, r); err != nil {
			return nil, err
		}
	}
	if done { // an operator added it without the token
		return a, nil
	}
	return a, memberProblem(ms.core.Membership.Change(ctx, change))
}

// logRedemption commits the event with which the invitation ends. It names the operator who invited the node. If their
// credential is revoked, the event has no effect.
func (ms *Members) logRedemption(ctx context.Context, row projections.InvitationRow, r Redemption) (uint64, error) {
	seq, effect, err := ms.core.commit(ctx, event.MemberChanged, &event.MemberChangedV1{
		Change:      wire.MemberAdded,
		Member:      row.Node,
		PeerAddress: row.Peer,
		ApiAddress:  row.API,
		Invitation:  row.SHA256[:],
		Incarnation: r.Incarnation,
		Op: &event.OpV1{
			Actor:      row.Op.Actor,
			Role:       row.Op.Role,
			Credential: row.Op.Credential,
			Reason:     row.Op.Reason,
			Ticket:     row.Op.Ticket,
			Node:       r.Via,
		},
	})
	if err != nil || effect != projections.Ignored {
		return seq, err
	}
	if _, err := ms.invitation(r); err != nil {
		return 0, err // something else ended it meanwhile
	}
	return 0, stale("the invitation was not used").WithRetry(retryAfter)
}

// invitation finds the invitation that a node shows, and refuses one that does not count for it.
func (ms *Members) invitation(r Redemption) (row projections.InvitationRow, err error) {
	id, _, _, err := ms.core.Entrance()
	if err != nil {
		return row, err
	}
	if r.ClusterID != id {
		return row, refuseToken(wire.JoinTokenOtherCluster, "the token is for the cluster "+r.ClusterID)
	}
	digest, err := hex.DecodeString(wire.JoinDigest(r.Secret))
	if err != nil {
		return row, err
	}
	row, ok := ms.core.control().Invitation([32]byte(digest))
	switch {
	case !ok:
		return row, refuseToken(wire.JoinTokenUnknown, "no invitation belongs to the token, or it ended long ago")
	case row.Node != r.Node:
		return row, refuseToken(wire.JoinTokenOtherNode, "the token invites another node than "+r.Node)
	case row.End == projections.EndedByNode && row.Incarnation == r.Incarnation:
		return row, nil
	case row.End == projections.EndedByNode:
		return row, refuseToken(wire.JoinTokenUsed, "the node was added with the token from another directory")
	case row.End == projections.EndedByRestoring:
		return row, refuseToken(wire.JoinTokenOtherCluster,
			"the token is of the cluster that this one was restored from")
	case row.End != projections.NotEnded:
		return row, refuseToken(wire.JoinTokenWithdrawn, "the invitation was "+string(row.End))
	case ms.core.control().CredentialRevoked(row.Op.Credential):
		return row, refuseToken(wire.JoinTokenWithdrawn,
			"the credential of "+row.Op.Actor+", who invited the node, was revoked")
	case ms.core.Clock.LogTime() >= row.ExpiresAt:
		return row, refuseToken(wire.JoinTokenExpired, "the invitation ended "+wire.TimeNS(row.ExpiresAt))
	}
	return row, nil
}

func refuseToken(code, why string) error {
	return &cluster.RemoteError{Code: code, Message: why + "; ask for another one: recount cluster invite"}
}
