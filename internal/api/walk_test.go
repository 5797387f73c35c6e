package api

import (
	"context"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// costly is a view in which every chunk of shards ends early behind one shard.
type costly struct {
	View
	chunks int
}

func (v *costly) Position() Position { return Position{} }

func (v *costly) Shards(_ context.Context, q ShardsQuery) (ShardsResult, error) {
	v.chunks++
	return ShardsResult{Items: make([]wire.ShardAnswer, 1), Next: "x", AsOf: q.Then.AsOf}, nil
}

// TestPageOfCostlyShards: a page of shards as of an event ends with the chunk that ended early, and none is read for a
// client that is gone.
func TestPageOfCostlyShards(t *testing.T) {
	v := &costly{}
	q := ShardsQuery{Limit: 1000, Then: Then{AsOf: 5}}
	page, next, err := walkShards(t.Context(), v, q)
	if err != nil || v.chunks != 1 || len(page.Items) != 1 || next != "x" {
		t.Errorf("%d chunks with %d shards, then %q: %v", v.chunks, len(page.Items), next, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := walkShards(ctx, v, q); !errors.Is(err, context.Canceled) || v.chunks != 1 {
		t.Errorf("for a client that is gone: %d chunks, %v", v.chunks, err)
	}
}
