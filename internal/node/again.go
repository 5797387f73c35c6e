package node

import (
	"context"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// repeats answers a record that conflicts with another one, or is wrong in structure, as it was answered before, from the live
// fold, as a linearizable read, without a new event: the first one is the evidence. nil means: not such a repetition, or not
// provably; the fold decides then.
func (n *Node) repeats(ctx context.Context, body []byte, rec *pcs.Record, facts verify.Facts) error {
	if rec.Fault == nil && rec.CheckID() == nil && n.live().Novel(rec.ShardID, rec.Epoch) || !n.isRefusedAgain(body, rec, facts, nil) {
		return nil
	}
	if _, err := n.confirm(ctx); err != nil {
		return nil
	}
	var first projections.Result
	if !n.isRefusedAgain(body, rec, facts, &first) {
		return nil
	}
	n.stats.repeats.Add(1)
	_, problem := n.answer(rec, first)
	return problem
}

// isRefusedAgain looks for the event that refused the same before, which it leaves in first.
func (n *Node) isRefusedAgain(body []byte, rec *pcs.Record, facts verify.Facts, first *projections.Result) bool {
	live, policy := n.live(), n.policy()
	now, next := n.logTime(), n.derived.Cursor().Seq+1
	c := &projections.Checked{Sub: event.Sub{Body: body}, Rec: rec, Facts: facts}
	verdict, refused := verify.Refuses(policy, rec, facts)
	if c.Verdict = verdict; !refused {
		control := n.derived.Control().For(live.Number())
		if control.Revoked(facts.KeyID, next, now) || !control.Allowed(facts.KeyID, rec.ShardID, next, now) {
			return false
		}
		t := rec.Tuple(facts.Profile)
		c.Signed, c.Inputs = rec.SignedDigest(t), rec.InputsDigest(t)
	}
	view := live.View()
	defer view.Close()
	r, ok, err := projections.Again(view, c, now, policy.Params.DedupTTL-int64(replayMargin))
	if err != nil || !ok {
		return false
	}
	if first != nil {
		r.Generation = live.Number()
		if r.First != nil {
			r.First.Generation = live.Number()
		}
		*first = r
	}
	return true
}
