package projections

import (
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestEarlierTheft: a later revocation with an earlier time widens what hindsight takes away, in generations started after it,
// and changes nothing else.
func TestEarlierTheft(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	var sent []Result
	for epoch := range int64(3) {
		l.now += day
		sent = append(sent, l.send(spec{shard: "alpha", root: "a", epoch: epoch + 1, dhat: "2.0", slope: 2}.body("one")))
	}
	id := mustHMAC("one").ID
	p := verify.DefaultPolicy().ID()
	revoke := func(since int64) KeyRow {
		l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: id, Since: since})
		k, _ := l.ctrl.Key(id, l.seq)
		return k
	}
	gone := func(number uint32) (n int) {
		for _, r := range sent {
			if l.ctrl.For(number).Revoked(id, r.Seq, r.LogTime) {
				n++
			}
		}
		return n
	}
	start := func() uint32 {
		l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: p[:], FromSeq: 1, Keys: KeysHindsight, Op: &event.OpV1{}})
		rows := l.ctrl.Generations()
		return rows[len(rows)-1].Number
	}
	first := revoke(sent[2].LogTime)
	narrow := start()
	l.message(event.GenerationDropped, &event.GenerationDroppedV1{Generation: narrow, Op: &event.OpV1{}})
	second := revoke(sent[1].LogTime)
	wide := start()
	third := revoke(sent[2].LogTime)
	if first.Revoked == 0 || second.Revoked != first.Revoked || second.RevokedSince != sent[1].LogTime || third.RevokedSince != second.RevokedSince {
		t.Errorf("%+v\n%+v\n%+v", first, second, third)
	}
	if a, b, c := gone(1), gone(narrow), gone(wide); a != 0 || b != 1 || c != 2 {
		t.Errorf("the live generation takes away %d, the first with hindsight %d, the second %d", a, b, c)
	}
	again, err := LoadControl(l.ctrlDB)
	if err != nil {
		t.Fatal(err)
	}
	if k, _ := again.Key(id, l.seq); k.RevokedSince != second.RevokedSince || k.Revoked != first.Revoked {
		t.Errorf("loaded: %+v", k)
	}
}

// TestFreezesAsOfASeq: what is frozen is read as of an event, whatever came later.
func TestFreezesAsOfASeq(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	l.message(event.Frozen, &event.FrozenV1{Scope: uint32(FreezeShard), Subject: "alpha"})
	froze := l.seq
	l.message(event.Thawed, &event.ThawedV1{Scope: uint32(FreezeShard), Subject: "alpha"})
	thawed := l.seq
	l.message(event.Frozen, &event.FrozenV1{Scope: 7, Subject: "alpha"}) // of no scope that exists
	l.message(event.Frozen, &event.FrozenV1{Scope: uint32(FreezeAll), Subject: "alpha"})
	for seq, want := range map[uint64]bool{froze: false, froze + 1: froze+1 < thawed, thawed: false, l.seq + 1: false} {
		if _, got := l.ctrl.Frozen("alpha", "", seq); got != want {
			t.Errorf("event %d of a freeze %d to %d: %v", seq, froze, thawed, got)
		}
	}
	if held := l.ctrl.Freezes(froze); len(held) != 1 || held[0].Thawed != 0 {
		t.Errorf("as of its event: %+v", held)
	}
	if all := l.ctrl.Freezes(l.seq); len(all) != 1 || all[0].Thawed != thawed {
		t.Errorf("now: %+v", all)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]bool{"lab-7": true, "lab-*": true, "lab-7*": true, "lab": false, "lab-70": false, "l": false, "": false} {
		if MatchShard(pattern, "lab-7") != want {
			t.Errorf("%q", pattern)
		}
	}
	for _, bad := range []string{"", "*", "a*b", "**"} {
		if CheckPattern(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}
