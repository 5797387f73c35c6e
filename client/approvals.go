package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/recount-ledger/recount/wire"
)

// Approve says yes to what another actor has asked for under the two-person rule.
func (c *Client) Approve(ctx context.Context, r wire.ApprovalRequest) (*wire.ApprovalAnswer, error) {
	opID(&r.Act)
	return act[wire.ApprovalAnswer](ctx, c, http.MethodPost, "/v1/approvals", nil, r)
}

// ApprovalsAll is Approvals, with what was done within the last hour of log time.
func (c *Client) ApprovalsAll(ctx context.Context) (*wire.ApprovalsPage, error) {
	return get[wire.ApprovalsPage](ctx, c, "/v1/approvals", url.Values{"all": {"true"}})
}

// Approvals lists what was asked for and is not done yet.
func (c *Client) Approvals(ctx context.Context) (*wire.ApprovalsPage, error) {
	return get[wire.ApprovalsPage](ctx, c, "/v1/approvals", nil)
}
