package main

import (
	"context"
	"fmt"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// A node answers a repeated operation as it did the first time. These functions print a warning when something else
// came after it: somebody who repeats a command with a used op_id would take the old answer for a new one.

const undoneNote = "Warning: event %d did this, and it does not stand any more: %s. " +
	"To do it again give another --op-id."

func noteActivationUndone(ctx context.Context, a *app, r *wire.ActivateAnswer) {
	page, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.GenerationsPage, error) {
		return c.Generations(ctx)
	})
	if err != nil || page.AppliedSeq < r.Seq || page.Active == r.Generation || page.Active == 0 {
		return
	}
	a.notef(undoneNote, r.Seq, "generation "+fmt.Sprint(page.Active)+" answers, and not "+fmt.Sprint(r.Generation))
}

func noteFreezeUndone(ctx context.Context, a *app, r *wire.FreezeAnswer, thaw bool) {
	if !thaw {
		if r.ThawedSeq != 0 {
			a.notef(undoneNote, r.Seq, "event "+fmt.Sprint(r.ThawedSeq)+" has thawed it")
		}
		return
	}
	page, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.FreezesPage, error) {
		return c.Freezes(ctx)
	})
	if err != nil {
		return
	}
	for _, f := range page.Items {
		if f.Scope == r.Scope && f.Subject == r.Subject && f.ThawedSeq == 0 && f.Seq > r.ThawedSeq {
			a.notef(undoneNote, r.ThawedSeq, "the freeze of event "+fmt.Sprint(f.Seq)+" holds")
		}
	}
}

func noteApplyUndone(ctx context.Context, a *app, r *wire.ApplyAnswer) {
	page, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.PoliciesPage, error) {
		return c.Policies(ctx)
	})
	if err != nil || page.AppliedSeq < r.Seq {
		return
	}
	for _, p := range page.Items {
		if p.InForce && p.ID != r.Policy {
			a.notef(undoneNote, r.Seq, "policy "+short(p.ID)+" is in force, and not "+short(r.Policy))
		}
	}
}
