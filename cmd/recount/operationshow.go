package main

import (
	"context"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// The results of operations, as the commands that do them and approve print them.

func showActivation(ctx context.Context, a *app, r *wire.ActivateAnswer) error {
	noteActivationUndone(ctx, a, r)
	return a.printFields(r, "generation", r.Generation, "instead of", r.From, "answers events after seq", r.Seq,
		"reviewed up to seq", r.Position, "flips after review", r.AfterFlips, "reported by",
		dash(strings.Join(r.Reporters, " ")), "absent", dash(strings.Join(r.Absent, " ")))
}

func showFreeze(ctx context.Context, a *app, got *wire.FreezeAnswer, thaw bool) error {
	noteFreezeUndone(ctx, a, got, thaw)
	pairs := []any{"scope", got.Scope, "subject", dash(got.Subject), "frozen after seq", got.Seq, "at", got.At,
		"reason", got.Reason}
	if got.ThawedSeq != 0 {
		pairs = append(pairs, "thawed after seq", got.ThawedSeq)
	}
	return a.printFields(got, pairs...)
}

func showApply(ctx context.Context, a *app, r *wire.ApplyAnswer) error {
	noteApplyUndone(ctx, a, r)
	return a.printFields(r, "policy", r.Policy, "judges events after", r.Seq)
}
