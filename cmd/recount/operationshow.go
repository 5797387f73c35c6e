package main

import (
	"context"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// The results of operations, as the commands that do them and approve print them.

func (a *app) showActivation(ctx context.Context, r *wire.ActivateAnswer) error {
	a.noteActivationUndone(ctx, r)
	return a.printFields(r, "generation", r.Generation, "instead of", r.From, "answers events after seq", r.Seq,
		"reviewed up to seq", r.Position, "flips after review", r.AfterFlips, "reported by",
		dash(strings.Join(r.Reporters, " ")), "absent", dash(strings.Join(r.Absent, " ")))
}

func (a *app) showFreeze(ctx context.Context, got *wire.FreezeAnswer, thaw bool) error {
	a.noteFreezeUndone(ctx, got, thaw)
	pairs := []any{"scope", got.Scope, "subject", dash(got.Subject), "frozen after seq", got.Seq, "at", got.At,
		"reason", got.Reason}
	if got.ThawedSeq != 0 {
		pairs = append(pairs, "thawed after seq", got.ThawedSeq)
	}
	return a.printFields(got, pairs...)
}

func (a *app) showApply(ctx context.Context, r *wire.ApplyAnswer) error {
	a.noteApplyUndone(ctx, r)
	return a.printFields(r, "policy", r.Policy, "judges events after", r.Seq)
}
