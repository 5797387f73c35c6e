package reads

import (
	"context"
	"errors"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// shardBatch bounds the shards that one batch looks at when it lists some of them only.
const shardBatch = 500

// Shards lists shards by id. The silence of a shard is measured in log time, from its newest submission to the newest
// event of the ledger, so every node and every later look at the same position gives the same list.
func (v *view) Shards(ctx context.Context, q api.ShardsQuery) (out api.ShardsResult, err error) {
	if err := v.Answers(); err != nil {
		return out, err
	}
	e, err := v.shardsOf(ctx, q.Then)
	if err != nil {
		return out, err
	}
	snapshot := e.from.View()
	defer snapshot.Close()
	out.Generation, out.AsOf = e.number, e.asOf
	if out.LogTime, err = projections.LogTimeAt(snapshot, e.asOf); err != nil {
		return out, e.orGone(v.state, err)
	}
	look := q.Limit
	if q.Silent > 0 {
		look = max(look, shardBatch)
	}
	rows, next, err := projections.ShardsAt(until(ctx, snapshot), q.After, look, e.upTo)
	if err != nil {
		return out, v.noShard(&e, err)
	}
	out.Next = next
	for _, r := range rows {
		if out.LogTime-r.LastLogTime < int64(q.Silent) {
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

// shardsOf returns the generation whose shards answer a request.
func (v *view) shardsOf(ctx context.Context, t api.Then) (earlier, error) {
	if !t.Past() {
		return v.now(), nil
	}
	look := v.outcomes()
	defer look.close()
	e, err := v.then(ctx, look, t)
	if err == nil && e.from == nil {
		err = shardsGone(&e)
	}
	return e, err
}

// noShard returns the reason why shards were not read.
func (v *view) noShard(e *earlier, err error) error {
	if errors.Is(err, projections.ErrFar) {
		what, _, _ := strings.Cut(err.Error(), ": ")
		return tooFar(e.asOf, what)
	}
	return e.orGone(v.state, err)
}

// Shard shows one shard.
func (v *view) Shard(ctx context.Context, id string, t api.Then) (*wire.ShardAnswer, error) {
	e, err := v.shardsOf(ctx, t)
	if err != nil {
		return nil, err
	}
	snapshot := e.from.View()
	defer snapshot.Close()
	rows := until(ctx, snapshot)
	r, err := projections.ShardAt(rows, id, e.upTo)
	refused, more := errors.Is(err, projections.ErrNotFound), false
	if refused { // as after a recount that ignores a stolen key
		r, more, err = projections.Named(rows, id, e.upTo)
	}
	if errors.Is(err, projections.ErrNotFound) {
		return nil, api.ErrNotFound
	}
	if err != nil {
		return nil, v.noShard(&e, err)
	}
	a := shardAnswer(r)
	a.RefusedOnly, a.AtLeast, a.AsOf = refused, more, e.asOf
	return &a, nil
}

func shardAnswer(r projections.ShardRow) wire.ShardAnswer {
	a := wire.ShardAnswer{
		ShardID:     r.Shard,
		Submissions: r.Accepted + r.Escalated + r.Refused + r.Conflicts + r.Replays,
		Accepted:    r.Accepted,
		Escalated:   r.Escalated,
		Refused:     r.Refused,
		Conflicts:   r.Conflicts,
		EpochSeq:    r.EpochSeq,
		FirstSeq:    r.FirstSeq,
		LastSeq:     r.LastSeq,
		LastAt:      wire.TimeNS(r.LastLogTime),
	}
	if r.HasEpoch {
		epoch := r.Epoch
		a.Epoch = &epoch
	}
	return a
}
