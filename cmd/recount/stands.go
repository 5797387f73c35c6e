package main

import (
	"context"
	"fmt"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// What was done already is answered as it was. These say what stands now, when something else came after it:
// who gives a command again under an op_id that was used would take the old answer for a new one.

const takenBack = "Warning: event %d did this, and it does not stand any more: %s. To do it again give another --op-id."

func (a *app) noteActivation(ctx context.Context, r *wire.ActivateAnswer) {
	page, err := ask(ctx, a, func(ctx context.Context, c *client.Client) (*wire.GenerationsPage, error) {
		return c.Generations(ctx)
	})
	if err != nil || page.AppliedSeq < r.Seq || page.Active == r.Generation || page.Active == 0 {
		return
	}
	a.talk(takenBack, r.Seq, "generation "+fmt.Sprint(page.Active)+" answers, and not "+fmt.Sprint(r.Generation))
}

func (a *app) noteFreeze(ctx context.Context, r *wire.FreezeAnswer, thaw bool) {
	if !thaw {
		if r.ThawedSeq != 0 {
			a.talk(takenBack, r.Seq, "event "+fmt.Sprint(r.ThawedSeq)+" has thawed it")
		}
		return
	}
	page, err := ask(ctx, a, func(ctx context.Context, c *client.Client) (*wire.FreezesPage, error) {
		return c.Freezes(ctx)
	})
	if err != nil {
		return
	}
	for _, f := range page.Items {
		if f.Scope == r.Scope && f.Subject == r.Subject && f.ThawedSeq == 0 && f.Seq > r.ThawedSeq {
			a.talk(takenBack, r.ThawedSeq, "the freeze of event "+fmt.Sprint(f.Seq)+" holds")
		}
	}
}

func (a *app) noteApply(ctx context.Context, r *wire.ApplyAnswer) {
	page, err := ask(ctx, a, func(ctx context.Context, c *client.Client) (*wire.PoliciesPage, error) {
		return c.Policies(ctx)
	})
	if err != nil || page.AppliedSeq < r.Seq {
		return
	}
	for _, p := range page.Items {
		if p.InForce && p.ID != r.Policy {
			a.talk(takenBack, r.Seq, "policy "+short(p.ID)+" is in force, and not "+short(r.Policy))
		}
	}
}
