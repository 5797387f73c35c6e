package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/recount-ledger/recount/wire"
)

// Members changes the members of a cluster, and who leads it.
type Members struct{ c *Client }

// MembersOf returns the changes of the members of the cluster of a client.
func MembersOf(c *Client) Members { return Members{c} }

// Add adds a node as a learner, which gets all entries and does not vote. The node must run with join at its peer
// address.
func (m Members) Add(ctx context.Context, r wire.MemberRequest) (*wire.MemberAnswer, error) {
	opID(&r.Op)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost, "/v1/cluster/members", nil, r)
}

// Promote makes a voter of a learner that has kept up with the leader for ten seconds. Before that the problem has
// the code stale and a Retry-After.
func (m Members) Promote(ctx context.Context, nodeID string, a wire.Op) (*wire.MemberAnswer, error) {
	opID(&a)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost, memberPath(nodeID, "promote"), nil, a)
}

// Remove removes a member permanently.
func (m Members) Remove(ctx context.Context, nodeID string, a wire.Op) (*wire.MemberAnswer, error) {
	opID(&a)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost, memberPath(nodeID, "remove"), nil, a)
}

// Move changes the address at which the other members reach a member.
func (m Members) Move(ctx context.Context, nodeID string,
	r wire.MemberAddressRequest) (*wire.MemberAnswer, error) {
	opID(&r.Op)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost, memberPath(nodeID, "address"), nil, r)
}

// Transfer makes another voter the leader. The answer names it.
func (m Members) Transfer(ctx context.Context, r wire.LeaderRequest) (*wire.MemberAnswer, error) {
	opID(&r.Op)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost, "/v1/cluster/leader", nil, r)
}

// RaiseVersion raises the cluster version. Afterwards no member can go back to a build that does not know it.
func (m Members) RaiseVersion(ctx context.Context,
	r wire.ClusterVersionRequest) (*wire.ClusterVersionAnswer, error) {
	opID(&r.Op)
	return operate[wire.ClusterVersionAnswer](ctx, m.c, http.MethodPost, "/v1/cluster/version", nil, r)
}

// Invite lets a node that is not started yet add itself once, with the secret of which the request has the digest.
// wire.JoinTokenOf makes the join token of the answer and the secret.
func (m Members) Invite(ctx context.Context, r wire.InvitationRequest) (*wire.InvitationAnswer, error) {
	opID(&r.Op)
	return operate[wire.InvitationAnswer](ctx, m.c, http.MethodPost, "/v1/cluster/invitations", nil, r)
}

// Withdraw ends the open invitation of a node.
func (m Members) Withdraw(ctx context.Context, nodeID string, a wire.Op) (*wire.MemberAnswer, error) {
	opID(&a)
	return operate[wire.MemberAnswer](ctx, m.c, http.MethodPost,
		"/v1/cluster/invitations/"+url.PathEscape(nodeID)+"/withdraw", nil, a)
}

func memberPath(nodeID, act string) string {
	return "/v1/cluster/members/" + url.PathEscape(nodeID) + "/" + act
}
