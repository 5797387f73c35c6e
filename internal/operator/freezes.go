package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

var freezeScopes = []string{
	projections.FreezeAll:   wire.FreezeAll,
	projections.FreezeShard: wire.FreezeShard,
	projections.FreezeKey:   wire.FreezeKey,
}

// Freezes stops submissions and allows them again.
type Freezes struct {
	core      *core
	approvals *approvals
}

// Freezes lists all freezes after an event, 0 for now.
func (fr *Freezes) Freezes(_ context.Context, asOf uint64) ([]wire.FreezeAnswer, error) {
	out := []wire.FreezeAnswer{}
	for _, f := range fr.core.control().Freezes(fr.core.at(asOf)) {
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
func (fr *Freezes) Freeze(ctx context.Context, r wire.FreezeRequest,
	meta api.Meta) (*wire.FreezeAnswer, error) {
	if err := fr.core.current(ctx); err != nil {
		return nil, err
	}
	scope := projections.FreezeScope(slices.Index(freezeScopes, r.Scope))
	if scope == projections.FreezeKey {
		switch _, err := fr.core.knownKey(ctx, r.Subject); {
		case errors.Is(err, api.ErrNotFound):
			return nil, wire.NewProblem(wire.CodeNotFound,
				fmt.Sprintf("there is no key %.100q", r.Subject)).WithField("subject")
		case err != nil:
			return nil, err
		}
	}
	m := &event.FrozenV1{Scope: uint32(scope), Subject: r.Subject, Op: fr.core.op(r.Op, meta)}
	if _, _, err := fr.core.commit(ctx, event.Frozen, m); err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(fr.core.control().Freezes(fr.core.head())) {
		if f.Scope == scope && f.Subject == r.Subject && (f.Thawed == 0 || f.Op.ID == r.OpID) {
			a := freezeAnswer(f)
			return &a, nil
		}
	}
	return nil, opIDReused(r.OpID)
}

// Thaw ends the freeze of exactly this scope and subject.
func (fr *Freezes) Thaw(ctx context.Context, r wire.FreezeRequest, meta api.Meta) (*wire.FreezeAnswer, error) {
	if err := fr.core.current(ctx); err != nil {
		return nil, err
	}
	scope := projections.FreezeScope(slices.Index(freezeScopes, r.Scope))
	if fr.core.control().OpSeq(r.OpID) == 0 {
		o := wire.PendingOperation{Name: wire.OperationThaw, Scope: r.Scope, Subject: r.Subject}
		if err := fr.approvals.require(ctx, o, thawRequest(r), r.Op, meta); err != nil {
			return nil, err
		}
	}
	m := &event.ThawedV1{Scope: uint32(scope), Subject: r.Subject, Op: fr.core.op(r.Op, meta)}
	seq, err := fr.core.commitOnce(ctx, event.Thawed, m,
		stale("nothing of this scope and subject is frozen; recount freeze list lists what is"))
	if err != nil {
		return nil, err
	}
	for _, f := range fr.core.control().Freezes(fr.core.head()) {
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

// InForce counts the freezes that hold.
func (fr *Freezes) InForce() (held int) {
	for _, f := range fr.core.control().Freezes(fr.core.head()) {
		if f.Thawed == 0 {
			held++
		}
	}
	return held
}
