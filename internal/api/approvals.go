package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

func (s *server) approve(c echo.Context) error {
	var r wire.ApprovalRequest
	return s.act(c, &r, &r.Op, func(ctx context.Context, meta Meta) (int, any, error) {
		if r.Approve == "" || len(r.Approve) > maxOpID {
			return 0, nil, badParameter("approve", "must be the op_id of the act, as \"recount approve list\" shows it")
		}
		a, err := s.Ledger.Operations.Approve(ctx, r, meta)
		return http.StatusOK, a, err
	})
}

func (s *server) approvals(c echo.Context) error {
	p := readParams(c, "all", "consistency", "min_seq")
	want, all := p.read(wire.ConsistencyLinearizable), p.oneOf("all", "false", "true", "false") == "true"
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, view, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	items, err := s.Ledger.Operations.Approvals(ctx, all)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, wire.ApprovalsPage{
		Items:      append([]wire.ApprovalAnswer{}, items...),
		AppliedSeq: view.Position().AppliedSeq,
	})
}
