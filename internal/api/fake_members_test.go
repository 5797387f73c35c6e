package api

import (
	"context"

	"github.com/recount-ledger/recount/wire"
)

// fakeMembers takes every change of the members.
type fakeMembers struct{ *shared }

func (t *fakeMembers) took(op wire.Op, change, id string) (*wire.MemberAnswer, error) {
	t.operations = append(t.operations, op)
	return &wire.MemberAnswer{Change: change, NodeID: id, Seq: 9}, t.fail
}

func (t *fakeMembers) AddMember(_ context.Context, r wire.MemberRequest, _ Meta) (*wire.MemberAnswer, error) {
	return t.took(r.Op, wire.MemberAdded, r.NodeID)
}

func (t *fakeMembers) PromoteMember(_ context.Context, id string, op wire.Op, _ Meta) (*wire.MemberAnswer, error) {
	return t.took(op, wire.MemberPromoted, id)
}

func (t *fakeMembers) RemoveMember(_ context.Context, id string, op wire.Op, _ Meta) (*wire.MemberAnswer, error) {
	return t.took(op, wire.MemberRemoved, id)
}

func (t *fakeMembers) MoveMember(_ context.Context, id string, r wire.MemberAddressRequest,
	_ Meta) (*wire.MemberAnswer, error) {
	return t.took(r.Op, wire.MemberMoved, id)
}

func (t *fakeMembers) TransferLeadership(_ context.Context, r wire.LeaderRequest, _ Meta) (*wire.MemberAnswer, error) {
	return t.took(r.Op, wire.MemberLeads, r.NodeID)
}

func (t *fakeMembers) RaiseVersion(_ context.Context, r wire.ClusterVersionRequest,
	_ Meta) (*wire.ClusterVersionAnswer, error) {
	t.operations = append(t.operations, r.Op)
	return &wire.ClusterVersionAnswer{Version: r.Version, From: r.Version - 1, Seq: 9}, t.fail
}

func (t *fakeMembers) InviteMember(_ context.Context, r wire.InvitationRequest, _ Meta) (*wire.InvitationAnswer, error) {
	t.operations = append(t.operations, r.Op)
	return &wire.InvitationAnswer{NodeID: r.NodeID, PeerAddress: r.PeerAddress, APIAddress: r.APIAddress, ExpiresAt: "2026-01-01T00:00:00Z",
		Seq: 9, ClusterID: "c", Members: []wire.JoinMember{{ID: "n1", Peer: "h:1", API: "https://h:2"}}, Authorities: [][]byte{{1}}}, t.fail
}

func (t *fakeMembers) WithdrawInvitation(_ context.Context, id string, op wire.Op, _ Meta) (*wire.MemberAnswer, error) {
	return t.took(op, wire.MemberWithdrawn, id)
}
