package operator

import (
	"context"
	"fmt"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// KnownShards registers the shards that operators know.
type KnownShards struct{ core *core }

// KnownShards lists the registrations of known shards.
func (sr *KnownShards) KnownShards(_ context.Context, asOf uint64) ([]wire.KnownShardsAnswer, error) {
	out := []wire.KnownShardsAnswer{}
	for _, k := range sr.core.control().KnownShards(sr.core.at(asOf)) {
		out = append(out, knownShardsAnswer(k))
	}
	return out, nil
}

func knownShardsAnswer(k projections.KnownShards) wire.KnownShardsAnswer {
	return wire.KnownShardsAnswer{
		Seq:      k.Seq,
		At:       wire.TimeNS(k.LogTime),
		Patterns: k.Patterns,
		Reason:   k.Op.Reason,
		Ticket:   k.Op.Ticket,
		Actor:    k.Op.Actor,
	}
}

// AddKnownShards registers known shards.
func (sr *KnownShards) AddKnownShards(ctx context.Context, r wire.KnownShardsRequest,
	meta api.Meta) (*wire.KnownShardsAnswer, error) {
	if len(r.Patterns) == 0 {
		return nil, wire.NewProblem(wire.CodeBadRequest, "name at least one shard id or pattern").WithField("patterns")
	}
	if err := checkPatterns("patterns", r.Patterns); err != nil {
		return nil, err
	}
	m := &event.ShardsKnownV1{Patterns: r.Patterns, Op: sr.core.op(r.Op, meta)}
	seq, err := sr.core.commitOnce(ctx, event.ShardsKnown, m, stale("the patterns could not be registered"))
	if err != nil {
		return nil, err
	}
	for _, k := range sr.core.control().KnownShards(seq) {
		if k.Seq == seq {
			a := knownShardsAnswer(k)
			return &a, nil
		}
	}
	return nil, fmt.Errorf("event %d registered no shards", seq)
}
