package reads

import (
	"context"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/projections"
)

// shardBatch bounds the shards that one batch looks at when it lists some of them only.
const shardBatch = 500

// Shards lists shards by id. The silence of a shard is measured in log time, from its newest submission to the newest
// event of the ledger, so every node and every later look at the same position gives the same list.
func (v *view) Shards(_ context.Context, q api.ShardsQuery) (api.ShardsResult, error) {
	snapshot := v.of.View()
	defer snapshot.Close()
	at, err := projections.ReadPosition(snapshot)
	if err != nil {
		return api.ShardsResult{}, v.orGone(err)
	}
	look := q.Limit
	if q.Silent > 0 {
		look = max(look, shardBatch)
	}
	rows, next, err := projections.Shards(snapshot, q.After, look)
	if err != nil {
		return api.ShardsResult{}, v.orGone(err)
	}
	out := api.ShardsResult{Next: next, LogTime: at.LogTime}
	for _, r := range rows {
		if at.LogTime-r.LastLogTime < int64(q.Silent) {
			continue
		}
		if len(out.Items) == q.Limit {
			out.Next = out.Items[q.Limit-1].ShardID
			break
		}
		out.Items = append(out.Items, shardAnswer(r))
	}
	return out, nil
}
