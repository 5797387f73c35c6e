package api

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

func addMember(ctx context.Context, l *Ledger, o op[wire.MemberRequest]) (int, *wire.MemberAnswer, error) {
	r := o.request
	switch {
	case r.Reason == "":
		return 0, nil, errNoReason()
	case r.NodeID == "":
		return 0, nil, badParameter("node_id", "must be given")
	case r.PeerAddress == "":
		return 0, nil, badParameter("peer_address", "must be given, as host:port")
	}
	return ok(l.Members.AddMember(ctx, r, o.meta))
}

// errNoReason refuses a change of the members without a reason.
func errNoReason() error {
	return badParameter("reason", "must be given: whoever operates the cluster later will ask why")
}

func promoteMember(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.MemberAnswer, error) {
	if o.request.Reason == "" {
		return 0, nil, errNoReason()
	}
	return ok(l.Members.PromoteMember(ctx, o.c.Param("node_id"), o.request, o.meta))
}

func removeMember(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.MemberAnswer, error) {
	if o.request.Reason == "" {
		return 0, nil, errNoReason()
	}
	return ok(l.Members.RemoveMember(ctx, o.c.Param("node_id"), o.request, o.meta))
}

func moveMember(ctx context.Context, l *Ledger, o op[wire.MemberAddressRequest]) (int, *wire.MemberAnswer, error) {
	switch {
	case o.request.Reason == "":
		return 0, nil, errNoReason()
	case o.request.PeerAddress == "":
		return 0, nil, badParameter("peer_address", "must be given, as host:port")
	}
	return ok(l.Members.MoveMember(ctx, o.c.Param("node_id"), o.request, o.meta))
}

func transferLeadership(ctx context.Context, l *Ledger, o op[wire.LeaderRequest]) (int, *wire.MemberAnswer, error) {
	if o.request.Reason == "" {
		return 0, nil, errNoReason()
	}
	return ok(l.Members.TransferLeadership(ctx, o.request, o.meta))
}

func raiseVersion(ctx context.Context, l *Ledger,
	o op[wire.ClusterVersionRequest]) (int, *wire.ClusterVersionAnswer, error) {
	switch {
	case o.request.Reason == "":
		return 0, nil, errNoReason()
	case o.request.Version == 0:
		return 0, nil, badParameter("version", "must be given, as a number from 1")
	}
	return ok(l.Members.RaiseVersion(ctx, o.request, o.meta))
}

// Bounds of the texts of an invitation, in bytes. The fold has the same.
const maxMemberText = 255

func inviteMember(ctx context.Context, l *Ledger,
	o op[wire.InvitationRequest]) (int, *wire.InvitationAnswer, error) {
	r := o.request
	sum, err := hex.DecodeString(r.Digest)
	// compared in seconds, since a large number of them overflows a Duration
	short, long := int64(wire.MinInvitation/time.Second), int64(wire.MaxInvitation/time.Second)
	switch {
	case r.Reason == "":
		return 0, nil, errNoReason()
	case r.NodeID == "":
		return 0, nil, badParameter("node_id", "must be given")
	case r.PeerAddress == "" || len(r.PeerAddress) > maxMemberText:
		return 0, nil, badParameter("peer_address", "must be given, as host:port")
	case len(r.APIAddress) > maxMemberText:
		return 0, nil, badParameter("api_address", "must have at most 255 bytes")
	case err != nil || len(sum) != 32 || strings.ToLower(r.Digest) != r.Digest:
		return 0, nil, badParameter("digest", "must be the SHA-256 of the secret, 64 lower-case hex digits")
	case r.ValidS < short || r.ValidS > long:
		return 0, nil, badParameter("valid_s", "must be 60 to 86400 seconds")
	}
	return ok(l.Members.InviteMember(ctx, r, o.meta))
}

func withdrawInvitation(ctx context.Context, l *Ledger, o op[wire.Op]) (int, *wire.MemberAnswer, error) {
	if o.request.Reason == "" {
		return 0, nil, errNoReason()
	}
	return ok(l.Members.WithdrawInvitation(ctx, o.c.Param("node_id"), o.request, o.meta))
}
