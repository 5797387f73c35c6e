package api

import (
	"context"

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
