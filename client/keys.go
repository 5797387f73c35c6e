package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/recount-ledger/recount/wire"
)

// Keys lists the registered keys, in the order of registration.
func (c *Client) Keys(ctx context.Context) (*wire.KeysPage, error) {
	return KeysAsOf(ctx, c, Read{})
}

// KeysAsOf is Keys for another time, or with a freshness.
func KeysAsOf(ctx context.Context, c *Client, r Read) (*wire.KeysPage, error) {
	return get[wire.KeysPage](ctx, c, "/v1/keys", r.query())
}

// Key returns one registered key.
func (c *Client) Key(ctx context.Context, keyID string) (*wire.KeyAnswer, error) {
	return KeyAsOf(ctx, c, keyID, Read{})
}

// KeyAsOf is Key for another time, or with a freshness.
func KeyAsOf(ctx context.Context, c *Client, keyID string, r Read) (*wire.KeyAnswer, error) {
	return get[wire.KeyAnswer](ctx, c, "/v1/keys/"+url.PathEscape(keyID), r.query())
}

// AddKey registers a key, or changes the terms of a registered one.
func (c *Client) AddKey(ctx context.Context, r wire.KeyRequest) (*wire.KeyAnswer, error) {
	opID(&r.Op)
	return operate[wire.KeyAnswer](ctx, c, http.MethodPost, "/v1/keys", nil, r)
}

// RevokeKey revokes a key: the ledger refuses everything that it signs from now on.
func (c *Client) RevokeKey(ctx context.Context, keyID string, r wire.RevokeRequest) (*wire.RevokeAnswer, error) {
	opID(&r.Op)
	return operate[wire.RevokeAnswer](ctx, c, http.MethodPost, "/v1/keys/"+url.PathEscape(keyID)+"/revoke", nil, r)
}

// RetireKey ends the use of a key as planned.
func (c *Client) RetireKey(ctx context.Context, keyID string, a wire.Op) (*wire.KeyAnswer, error) {
	opID(&a)
	return operate[wire.KeyAnswer](ctx, c, http.MethodPost, "/v1/keys/"+url.PathEscape(keyID)+"/retire", nil, a)
}

// RetireSecret allows the nodes to forget the secret of a retired or revoked HMAC key.
func (c *Client) RetireSecret(ctx context.Context, keyID string, a wire.Op) (*wire.KeyAnswer, error) {
	opID(&a)
	return operate[wire.KeyAnswer](ctx, c, http.MethodPost, "/v1/keys/"+url.PathEscape(keyID)+"/retire-secret", nil, a)
}

// Freezes lists the freezes, oldest first.
func (c *Client) Freezes(ctx context.Context) (*wire.FreezesPage, error) {
	return FreezesAsOf(ctx, c, Read{})
}

// FreezesAsOf is Freezes for another time, or with a freshness.
func FreezesAsOf(ctx context.Context, c *Client, r Read) (*wire.FreezesPage, error) {
	return get[wire.FreezesPage](ctx, c, "/v1/freezes", r.query())
}

// Freeze makes the ledger refuse submissions from its event on.
func (c *Client) Freeze(ctx context.Context, r wire.FreezeRequest) (*wire.FreezeAnswer, error) {
	opID(&r.Op)
	return operate[wire.FreezeAnswer](ctx, c, http.MethodPost, "/v1/freezes", nil, r)
}

// Thaw ends the freeze of exactly this scope and subject.
func (c *Client) Thaw(ctx context.Context, r wire.FreezeRequest) (*wire.FreezeAnswer, error) {
	opID(&r.Op)
	return operate[wire.FreezeAnswer](ctx, c, http.MethodPost, "/v1/thaw", nil, r)
}

// KnownShards lists the registrations of known shards.
func (c *Client) KnownShards(ctx context.Context) (*wire.KnownShardsPage, error) {
	return KnownShardsAsOf(ctx, c, Read{})
}

// KnownShardsAsOf is KnownShards for another time, or with a freshness.
func KnownShardsAsOf(ctx context.Context, c *Client, r Read) (*wire.KnownShardsPage, error) {
	return get[wire.KnownShardsPage](ctx, c, "/v1/known-shards", r.query())
}

// AddKnownShards registers known shards: ids, or prefixes followed by a star.
func (c *Client) AddKnownShards(ctx context.Context, r wire.KnownShardsRequest) (*wire.KnownShardsAnswer, error) {
	opID(&r.Op)
	return operate[wire.KnownShardsAnswer](ctx, c, http.MethodPost, "/v1/known-shards", nil, r)
}
