package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

func (s *server) approve(c echo.Context) error {
	var r wire.ApprovalRequest
	return s.act(c, &r, &r.Act, func(ctx context.Context, meta Meta) (int, any, error) {
		if r.Approve == "" || len(r.Approve) > maxOpID {
			return 0, nil, badParameter("approve", "must be the op_id of the act, as \"recount approve list\" shows it")
		}
		a, err := s.Ledger.Approve(ctx, r, meta)
		return http.StatusOK, a, err
	})
}

func (s *server) approvals(c echo.Context) error {
	return serveRead(s, c, wire.ConsistencyLinearizable, func(ctx context.Context, at Position) (any, error) {
		items, err := s.Ledger.Approvals(ctx)
		return wire.ApprovalsPage{Items: append([]wire.ApprovalAnswer{}, items...), AppliedSeq: at.AppliedSeq}, err
	})
}
