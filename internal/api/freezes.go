package api

import (
	"context"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

func listFreezes(l *Ledger, p *params) readFunc[wire.FreezesPage] {
	return asOf(p, func(ctx context.Context, view View, seq uint64) (wire.FreezesPage, error) {
		items, err := l.Freezes.Freezes(ctx, seq)
		return wire.FreezesPage{Items: items, AppliedSeq: view.Position().AppliedSeq, AsOf: seq}, err
	})
}

func freeze(ctx context.Context, l *Ledger, o op[wire.FreezeRequest]) (int, *wire.FreezeAnswer, error) {
	if err := checkFreeze(ctx, l, &o.request); err != nil {
		return 0, nil, err
	}
	return ok(l.Freezes.Freeze(ctx, o.request, o.meta))
}

func thaw(ctx context.Context, l *Ledger, o op[wire.FreezeRequest]) (int, *wire.FreezeAnswer, error) {
	if err := checkFreeze(ctx, l, &o.request); err != nil {
		return 0, nil, err
	}
	return ok(l.Freezes.Thaw(ctx, o.request, o.meta))
}

func checkFreeze(ctx context.Context, l *Ledger, r *wire.FreezeRequest) error {
	if err := checkScope(r); err != nil {
		return err
	}
	if r.Reason == "" {
		return badParameter("reason", "must be given: agents and auditors will ask why")
	}
	if r.Scope != wire.FreezeShard || !isPattern(r.Subject) {
		return nil
	}
	view, err := l.Views.View(ctx, Read{Consistency: wire.ConsistencyLocal})
	if err != nil {
		return err
	}
	return noPattern(ctx, view, "subject", r.Subject)
}

// checkScope checks the subject that a freeze of this scope needs.
func checkScope(r *wire.FreezeRequest) error {
	switch r.Scope {
	case wire.FreezeAll:
		if r.Subject != "" {
			return badParameter("subject", "must be absent when everything is meant")
		}
	case wire.FreezeShard:
		if why := pcs.CheckShardID(r.Subject); why != "" {
			return badParameter("subject", "must be the id of a shard, which "+why)
		}
	case wire.FreezeKey:
		if r.Subject == "" || len(r.Subject) > 64 {
			return badParameter("subject", "must be the id of a key, 1 to 64 bytes")
		}
	default:
		return badParameter("scope", "must be all, shard or key")
	}
	return nil
}

func listKnownShards(l *Ledger, p *params) readFunc[wire.KnownShardsPage] {
	return asOf(p, func(ctx context.Context, view View, seq uint64) (wire.KnownShardsPage, error) {
		items, err := l.KnownShards.KnownShards(ctx, seq)
		return wire.KnownShardsPage{Items: items, AppliedSeq: view.Position().AppliedSeq, AsOf: seq}, err
	})
}

func addKnownShards(ctx context.Context, l *Ledger,
	o op[wire.KnownShardsRequest]) (int, *wire.KnownShardsAnswer, error) {
	return ok(l.KnownShards.AddKnownShards(ctx, o.request, o.meta))
}
