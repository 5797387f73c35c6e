package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

var freezeScopes = []string{
	projections.FreezeAll:   wire.FreezeAll,
	projections.FreezeShard: wire.FreezeShard,
	projections.FreezeKey:   wire.FreezeKey,
}

// Freezes lists all freezes.
func (n ledger) Freezes(context.Context) ([]wire.FreezeAnswer, error) {
	out := []wire.FreezeAnswer{}
	for _, f := range n.derived.Control().Freezes(n.derived.Cursor().Seq) {
		out = append(out, freezeAnswer(f))
	}
	return out, nil
}

func freezeAnswer(f projections.FreezeRow) wire.FreezeAnswer {
	return wire.FreezeAnswer{
		Seq:       f.Seq,
		At:        wire.TimeNS(f.LogTime),
		Scope:     freezeScopes[f.Scope],
		Subject:   f.Subject,
		ThawedSeq: f.Thawed,
		Reason:    f.Op.Reason,
		Ticket:    f.Op.Ticket,
		Actor:     f.Op.Actor,
	}
}

// Freeze refuses submissions from its event on. A freeze that holds already is answered as it is.
func (n ledger) Freeze(ctx context.Context, r wire.FreezeRequest, meta api.Meta) (*wire.FreezeAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	scope := projections.FreezeScope(slices.Index(freezeScopes, r.Scope))
	if scope == projections.FreezeKey {
		switch _, err := n.knownKey(ctx, r.Subject); {
		case errors.Is(err, api.ErrNotFound):
			return nil, wire.NewProblem(wire.CodeNotFound,
				fmt.Sprintf("there is no key %.100q", r.Subject)).WithField("subject")
		case err != nil:
			return nil, err
		}
	}
	m := &event.FrozenV1{Scope: uint32(scope), Subject: r.Subject, Op: n.ops.op(r.Op, meta)}
	if _, _, err := n.ops.act(ctx, event.Frozen, m); err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(n.derived.Control().Freezes(n.derived.Cursor().Seq)) {
		if f.Scope == scope && f.Subject == r.Subject && (f.Thawed == 0 || f.Op.ID == r.OpID) {
			a := freezeAnswer(f)
			return &a, nil
		}
	}
	return nil, stale("the op_id %q was used for something else", r.OpID)
}

// Thaw ends the freeze of exactly this scope and subject.
func (n ledger) Thaw(ctx context.Context, r wire.FreezeRequest, meta api.Meta) (*wire.FreezeAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	scope := projections.FreezeScope(slices.Index(freezeScopes, r.Scope))
	if n.derived.Control().OpSeq(r.OpID) == 0 {
		o := wire.Operation{Act: wire.OperationThaw, Scope: r.Scope, Subject: r.Subject}
		if err := n.ops.secondActor(ctx, o, thawRequest(r), r.Op, meta); err != nil {
			return nil, err
		}
	}
	m := &event.ThawedV1{Scope: uint32(scope), Subject: r.Subject, Op: n.ops.op(r.Op, meta)}
	seq, err := n.ops.actOnce(ctx, event.Thawed, m,
		stale("nothing of this scope and subject is frozen; recount freezes lists what is"))
	if err != nil {
		return nil, err
	}
	for _, f := range n.derived.Control().Freezes(n.derived.Cursor().Seq) {
		if f.Thawed == seq {
			a := freezeAnswer(f)
			return &a, nil
		}
	}
	return nil, fmt.Errorf("event %d thawed nothing", seq)
}

// thawRequest describes exactly the freeze that is to be ended.
func thawRequest(r wire.FreezeRequest) string {
	if r.Scope == wire.FreezeAll {
		return "thaw " + r.Scope
	}
	return fmt.Sprintf("thaw %s %q", r.Scope, r.Subject)
}

func (rd *reader) freezesHeld() (held int) {
	for _, f := range rd.derived.Control().Freezes(rd.derived.Cursor().Seq) {
		if f.Thawed == 0 {
			held++
		}
	}
	return held
}

// frozenNow refuses at the edge what the fold would refuse. Agents that repeat during a freeze must not fill
// the log.
func (in *intake) frozenNow(meta api.Meta, rec *pcs.Record, facts verify.Facts) *wire.Problem {
	f, ok := in.derived.Control().Frozen(rec.ShardID, facts.KeyID, in.derived.Cursor().Seq+1)
	if !ok {
		return nil
	}
	in.counts(meta).frozen.Add(1)
	p := wire.NewProblem(wire.CodeFrozen, fmt.Sprintf("event %d froze submissions", f.Seq)).WithRetry(frozenRetry)
	p.PCSID = rec.PCSID
	return p
}

// KnownShards lists the registrations of expected shards.
func (n ledger) KnownShards(context.Context) ([]wire.KnownShardsAnswer, error) {
	out := []wire.KnownShardsAnswer{}
	for _, k := range n.derived.Control().KnownShards(n.derived.Cursor().Seq) {
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

// AddKnownShards registers expected shards.
func (n ledger) AddKnownShards(ctx context.Context, r wire.KnownShardsRequest,
	meta api.Meta) (*wire.KnownShardsAnswer, error) {
	if len(r.Patterns) == 0 {
		return nil, wire.NewProblem(wire.CodeBadRequest, "name at least one shard id or pattern").WithField("patterns")
	}
	if err := checkPatterns("patterns", r.Patterns); err != nil {
		return nil, err
	}
	m := &event.ShardsKnownV1{Patterns: r.Patterns, Op: n.ops.op(r.Op, meta)}
	seq, err := n.ops.actOnce(ctx, event.ShardsKnown, m, stale("the patterns could not be registered"))
	if err != nil {
		return nil, err
	}
	for _, k := range n.derived.Control().KnownShards(seq) {
		if k.Seq == seq {
			a := knownShardsAnswer(k)
			return &a, nil
		}
	}
	return nil, fmt.Errorf("event %d registered no shards", seq)
}
