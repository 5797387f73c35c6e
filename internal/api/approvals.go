package api

import (
	"context"

	"github.com/recount-ledger/recount/wire"
)

// maxOperations bounds the operations on one page.
const maxOperations = 1000

func listOperations(l *Ledger, p *params) readFunc[wire.OperationsPage] {
	from, limit := p.number("from_seq", 1, 1, 1<<63-1), p.number("limit", 100, 1, maxOperations)
	return func(ctx context.Context, view View) (wire.OperationsPage, error) {
		items, next, err := l.Operations.List(ctx, from, int(limit))
		return wire.OperationsPage{Items: items, NextSeq: next, AppliedSeq: view.Position().AppliedSeq}, err
	}
}

func approve(ctx context.Context, l *Ledger, o op[wire.ApprovalRequest]) (int, *wire.ApprovalAnswer, error) {
	if o.request.Approve == "" || len(o.request.Approve) > maxOpID {
		return 0, nil, badParameter("approve", "must be the op_id of the operation, as \"recount approve list\" shows it")
	}
	return ok(l.Operations.Approve(ctx, o.request, o.meta))
}

func listApprovals(l *Ledger, p *params) readFunc[wire.ApprovalsPage] {
	all := p.oneOf("all", "false", "true", "false") == "true"
	return func(ctx context.Context, view View) (wire.ApprovalsPage, error) {
		items, err := l.Operations.Approvals(ctx, all)
		return wire.ApprovalsPage{Items: items, AppliedSeq: view.Position().AppliedSeq}, err
	}
}
