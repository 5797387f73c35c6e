package projections

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestFrozenAtEveryEvent: what a submission is frozen by, looked up, is the first of all freezes that cover it there.
func TestFrozenAtEveryEvent(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	key := mustHMAC("one").ID
	rng := rand.New(rand.NewPCG(1, 2))
	subjects := []frozenSubject{{FreezeAll, ""}, {FreezeShard, "a"}, {FreezeShard, "b"}, {FreezeKey, key}}
	for range 300 {
		s := subjects[rng.IntN(len(subjects))]
		if rng.IntN(2) == 0 {
			l.message(event.Frozen, &event.FrozenV1{Scope: uint32(s.scope), Subject: s.subject, Op: &event.OpV1{}})
		} else {
			l.message(event.Thawed, &event.ThawedV1{Scope: uint32(s.scope), Subject: s.subject, Op: &event.OpV1{}})
		}
	}
	all, hits := l.ctrl.Freezes(l.seq), 0
	for seq := uint64(1); seq <= l.seq+1; seq++ {
		for _, shard := range []string{"a", "b", "c"} {
			for _, by := range []string{"", key} {
				want := uint64(0)
				for _, f := range all {
					covers := f.Scope == FreezeAll || f.Scope == FreezeShard && f.Subject == shard || f.Scope == FreezeKey && f.Subject == by
					if covers && f.Seq < seq && (f.Thawed == 0 || seq < f.Thawed) {
						want = f.Seq
						break
					}
				}
				got, ok := l.ctrl.Frozen(shard, by, seq)
				if got.Seq != want || ok != (want != 0) {
					t.Fatalf("event %d of shard %s: frozen by %d, want %d", seq, shard, got.Seq, want)
				}
				if ok {
					hits++
				}
			}
		}
	}
	if hits == 0 {
		t.Error(fmt.Sprint("nothing is frozen by any of ", len(all), " freezes"))
	}
}
