package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/recount-ledger/recount/wire"
)

// Approve approves an operation that another actor has requested under the two-person rule.
func (c *Client) Approve(ctx context.Context, r wire.ApprovalRequest) (*wire.ApprovalAnswer, error) {
	opID(&r.Op)
	return operate[wire.ApprovalAnswer](ctx, c, http.MethodPost, "/v1/approvals", nil, r)
}

// ApprovalsAll is like Approvals and adds the operations done within the last hour of log time.
func (c *Client) ApprovalsAll(ctx context.Context) (*wire.ApprovalsPage, error) {
	return get[wire.ApprovalsPage](ctx, c, "/v1/approvals", url.Values{"all": {"true"}})
}

// Approvals lists the operations that were requested and are not done yet.
func (c *Client) Approvals(ctx context.Context) (*wire.ApprovalsPage, error) {
	return get[wire.ApprovalsPage](ctx, c, "/v1/approvals", nil)
}
