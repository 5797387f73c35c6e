package projections

import (
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestAgain: the shortcut answers what was refused before, for the same cause, and nothing else; the fold says the same of the
// submission when it is logged all the same.
func TestAgain(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	l.send(s.body("one"))
	claim, fault, wrong := s, s, s
	claim.dhat, fault.fault, wrong.wrongID = "2.1", true, true
	ttl := verify.DefaultPolicy().Params.DedupTTL
	ask := func(body []byte, now int64) (Result, bool) {
		facts := l.ingress(body)
		sub := event.Sub{Body: body, Facts: event.Facts{KeyID: facts.KeyID, Alg: uint8(facts.Alg), Profile: uint8(facts.Profile), Mode: uint8(facts.Mode)}}
		it := Item{Seq: l.seq + 1, LogTime: now, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: sub.Payload()}}
		Prepare(&it, l.keySet, l.ctrl.For(1))
		r, ok, err := Again(l.db, it.Prepared, now, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return r, ok
	}
	for name, body := range map[string][]byte{"conflict": claim.body("one"), "schema": fault.body("one"), "id_mismatch": wrong.body("one")} {
		if r, ok := ask(body, l.now); ok {
			t.Fatalf("%s before it was sent: %+v", name, r)
		}
		first := l.send(body)
		r, ok := ask(body, l.now+ttl)
		if !ok || r.Seq != first.Seq || r.AgainSeq != first.Seq || r.Reason.String() != name || r.status() != first.status() || (r.First == nil) != (first.First == nil) {
			t.Errorf("%s: %v %+v, the first %+v", name, ok, r, first)
		}
		if r, ok := ask(body, l.now+ttl+1); ok {
			t.Errorf("%s after the TTL: %+v", name, r)
		}
		if again := l.send(body); again.AgainSeq != first.Seq || again.status() != first.status() {
			t.Errorf("%s logged again: %+v", name, again)
		}
	}
	other := claim
	other.slope = 3
	for name, body := range map[string][]byte{"first": s.body("one"), "counts": other.body("one"), "key": claim.body("two"), "forged": claim.body("nobody")} {
		if r, ok := ask(body, l.now); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
