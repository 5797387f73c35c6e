package node_test

import (
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestOperations: an auditor lists what operators did, at any node, in the order of the log, and what changed nothing too.
func TestOperations(t *testing.T) {
	c := nodetest.Start(t, 3)
	r := newRecounter(t, c)
	auditorText, _ := newToken(t, r.ctx, c, 0, wire.RoleAuditor, "anna", time.Hour)
	policy := r.publish(plainPolicy)
	freeze := wire.FreezeRequest{
		Scope:   wire.FreezeShard,
		Subject: "lab-7",
		Op:      wire.Op{Reason: "look", Ticket: "INC-1", OpID: "f"},
	}
	froze, err := c.Client.Freeze(r.ctx, freeze)
	r.must(err)
	_, err = c.Client.Freeze(r.ctx, freeze) // the same operation once more
	r.must(err)
	thawed, err := c.Client.Thaw(r.ctx, wire.FreezeRequest{
		Scope:   wire.FreezeShard,
		Subject: "lab-7",
		Op:      wire.Op{Reason: "seen"},
	})
	r.must(err)
	applied, err := c.Client.ApplyPolicy(r.ctx, policy, wire.ApplyRequest{Op: wire.Op{Reason: "sound"}})
	r.must(err)
	for i := range c.Size() {
		anna := as(t, c, i, auditorText)
		var got []wire.OperationItem
		for item, err := range anna.Operations(r.ctx, 0, client.Read{MinSeq: applied.Seq}) {
			r.must(err)
			got = append(got, item)
		}
		type line struct{ kind, effect, reason string }
		want := []line{{"token_created", wire.EffectApplied, ""},
			{"policy_published", wire.EffectRepeated, "test"}, {"frozen", wire.EffectApplied, "look"},
			{"frozen", wire.EffectRepeated, "look"}, {"thawed", wire.EffectApplied, "seen"},
			{"policy_applied", wire.EffectApplied, "sound"}}
		if len(got) != len(want) {
			t.Fatalf("node %d: %+v", i+1, got)
		}
		for k, item := range got {
			if (line{item.Kind, item.Effect, item.Reason}) != want[k] || item.Actor == "" ||
				item.Role != string(wire.RoleOperator) || item.OpID == "" || item.RequestID == "" {
				t.Errorf("node %d: %+v, want %+v", i+1, item, want[k])
			}
		}
		if f := got[2]; f.Seq != froze.Seq || f.About["scope"] != wire.FreezeShard ||
			f.About["subject"] != "lab-7" || f.Ticket != "INC-1" || f.OpID != "f" {
			t.Errorf("%+v", f)
		}
		if got[4].Seq != thawed.ThawedSeq || got[1].About["policy"] != policy || got[5].About["policy"] != policy {
			t.Errorf("%+v %+v %+v", got[1], got[4], got[5])
		}
		page, err := anna.OperationsPage(r.ctx, froze.Seq, 2, client.Read{})
		r.must(err)
		next, err := anna.OperationsPage(r.ctx, page.NextSeq, 2, client.Read{})
		r.must(err)
		if len(page.Items) != 2 || page.Items[0].Seq != froze.Seq || next.Items[0].Seq != thawed.ThawedSeq ||
			next.NextSeq != 0 {
			t.Errorf("%+v %+v", page, next)
		}
	}
}
