package client

import (
	"context"
	"net/http"

	"github.com/recount-ledger/recount/wire"
)

// Approve says yes to what another actor has asked for under the two-person rule.
func (c *Client) Approve(ctx context.Context, r wire.ApprovalRequest) (*wire.ApprovalAnswer, error) {
	opID(&r.Act)
	return act[wire.ApprovalAnswer](ctx, c, http.MethodPost, "/v1/approvals", nil, r)
}

// Approvals lists what was asked for and is not done yet.
func (c *Client) Approvals(ctx context.Context) (*wire.ApprovalsPage, error) {
	return get[wire.ApprovalsPage](ctx, c, "/v1/approvals", nil)
}
