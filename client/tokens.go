package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/recount-ledger/recount/wire"
)

// CreateToken registers the token with the digest in r. wire.NewToken makes the token itself.
func (c *Client) CreateToken(ctx context.Context, r wire.TokenRequest) (*wire.TokenAnswer, error) {
	opID(&r.Op)
	return operate[wire.TokenAnswer](ctx, c, http.MethodPost, "/v1/tokens", nil, r)
}

// Tokens lists the tokens that the responding node knows.
func (c *Client) Tokens(ctx context.Context) (*wire.TokensPage, error) {
	return get[wire.TokensPage](ctx, c, "/v1/tokens", nil)
}

// Whoami returns the identity of the caller as the responding node sees it.
func (c *Client) Whoami(ctx context.Context) (*wire.WhoamiAnswer, error) {
	return get[wire.WhoamiAnswer](ctx, c, "/v1/whoami", nil)
}

// RevokeToken revokes a token or, with "cert:" and a serial number, a client certificate.
func (c *Client) RevokeToken(ctx context.Context, id string, r wire.TokenRevokeRequest) (*wire.TokenAnswer, error) {
	opID(&r.Op)
	return operate[wire.TokenAnswer](ctx, c, http.MethodPost, "/v1/tokens/"+url.PathEscape(id)+"/revoke", nil, r)
}
