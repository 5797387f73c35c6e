package projections

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// second folds everything that l has folded, as generation number.
func (l *ledger) second(number uint32) (*Generation, *MemStore) {
	l.t.Helper()
	g, db := NewGeneration(number), NewMemStore()
	for i := range l.items {
		it := l.items[i]
		it.Prepared = nil
		if _, err := g.Fold(db, &it, l.ctrl.For(number)); err != nil {
			l.t.Fatal(err)
		}
	}
	last := l.items[len(l.items)-1]
	WritePosition(db, g.Position(last.Index, last.Term))
	return g, db
}

// flips compares generation 1 with another one.
func (l *ledger) flips(number uint32, db *MemStore) []Flip {
	l.t.Helper()
	seqs, err := Differing(l.db, db, 1, l.seq)
	if err != nil {
		l.t.Fatal(err)
	}
	var out []Flip
	var before [32]byte
	for _, seq := range seqs {
		f, err := NewFlip(seq, &l.items[seq-1], l.db, db, l.ctrl.For(1), l.ctrl.For(number))
		if err != nil {
			l.t.Fatal(err)
		}
		f.Chain(before)
		before = f.Digest
		again, err := DecodeFlip(seq, f.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), f.Append(nil)) || again.Old.ReasonCode() != f.Old.ReasonCode() {
			l.t.Fatalf("flip of %d does not decode to itself: %v", seq, err)
		}
		SetFlip(db, &f)
		out = append(out, f)
	}
	return out
}

func (l *ledger) publish(p verify.Policy) []byte {
	l.t.Helper()
	l.message(event.PolicyPublished, &event.PolicyPublishedV1{Policy: p.Canonical(), Source: []byte("x"), Op: &event.OpV1{}})
	id := p.ID()
	if _, ok := l.ctrl.Published(id); !ok {
		l.t.Fatal("the policy is not known")
	}
	return id[:]
}

func (l *ledger) start(policy []byte, from uint64) uint32 {
	l.t.Helper()
	l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: policy, FromSeq: from, Op: &event.OpV1{}})
	rows := l.ctrl.Generations()
	if rows[len(rows)-1].Seq != l.seq {
		l.t.Fatal("no generation was started")
	}
	return rows[len(rows)-1].Number
}

// TestSquatter: a forged record that a lax policy let in took an id and pushed a shard's epoch. Under the fix it disappears,
// and what was refused behind it is accepted.
func TestSquatter(t *testing.T) {
	lax := verify.DefaultPolicy()
	lax.Signature.Required = false
	l := newLedger(t, lax, "one")
	unsigned := func(s spec) []byte {
		b := s.body("one")
		i := bytes.Index(b, []byte(`"sig":"`)) + len(`"sig":"`)
		return slices.Delete(b, i, i+bytes.IndexByte(b[i:], '"'))
	}
	before := l.send(spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
	forged := l.send(unsigned(spec{shard: "alpha", root: "b", epoch: 9, dhat: "2.0", slope: 2}))
	honest := l.send(spec{shard: "alpha", root: "b", epoch: 9, dhat: "2.1", slope: 2}.body("one"))
	later := l.send(spec{shard: "alpha", root: "c", epoch: 2, dhat: "2.0", slope: 2}.body("one"))
	if forged.status() != 200 || honest.status() != 409 || later.status() != 202 || later.Accepted || before.status() != 200 {
		t.Fatalf("%d %d %d %d", before.status(), forged.status(), honest.status(), later.status())
	}
	number := l.start(l.publish(verify.DefaultPolicy()), 1)
	_, db := l.second(number)
	flips := l.flips(number, db)
	type line struct {
		seq      uint64
		direct   bool
		causedBy uint64
		old, new int
	}
	var got []line
	for _, f := range flips {
		got = append(got, line{f.Seq, f.Direct, f.CausedBySeq, f.Old.status(), f.New.status()})
	}
	want := []line{{forged.Seq, true, 0, 200, 401}, {honest.Seq, false, forged.Seq, 409, 200}, {later.Seq, false, forged.Seq, 202, 202}}
	if later, err := Row(db, later.Seq); err != nil || later.Accepted || later.Reason != verify.ReasonEpochRegression {
		t.Errorf("%+v %v", later, err)
	}
	// The honest record moved the mark to 9 as well, so the later one stays a regression: no flip.
	if want = want[:2]; !slices.Equal(got, want) {
		t.Errorf("flips %v, want %v", got, want)
	}
	sums := NewFlipSums()
	for i := range flips {
		sums.Add(&flips[i])
	}
	if sums.Direct != 1 || sums.Indirect != 1 || sums.ByOutcome["accepted->refused"] != 1 || sums.ByOutcome["conflict->accepted"] != 1 ||
		sums.ByShard["alpha"] != 2 || sums.First != forged.Seq || sums.Last != honest.Seq {
		t.Errorf("%+v", sums)
	}
	if d, err := FlipDigestAt(db, forged.Seq); err != nil || d != flips[0].Digest {
		t.Errorf("%x %v", d, err)
	}
}

// TestSamePolicy: a second fold under the same schedule says the same, to the byte.
func TestSamePolicy(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	for i := range 40 {
		s := spec{shard: "alpha", root: string("abc"[i%3]), epoch: int64(i % 7), dhat: []string{"2.0", "2.5"}[i%2], slope: 2, seed: i % 5}
		l.send(s.body([]string{"one", "two", "wrong"}[i%3]))
	}
	id := verify.DefaultPolicy().ID()
	number := l.start(id[:], 1)
	g, db := l.second(number)
	if flips := l.flips(number, db); len(flips) != 0 {
		t.Errorf("%d flips", len(flips))
	}
	_, a := l.gen.Digest()
	if _, b := g.Digest(); a != b {
		t.Errorf("%x, %x", a, b)
	}
}

// TestSchedules: which policy and which generation counts when.
func TestSchedules(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	tight, loose := verify.DefaultPolicy(), verify.DefaultPolicy()
	tight.Params.TolD, loose.Params.TolD = 10_000_000, 900_000_000
	tightID, looseID := l.publish(tight), l.publish(loose)
	at := func(number uint32, seq uint64) [32]byte {
		p, _ := l.ctrl.For(number).PolicyAt(seq)
		return p.ID
	}
	first := verify.DefaultPolicy().ID()
	g2 := l.start(tightID, 3)
	if at(1, 100) != first || at(g2, 2) != first || at(g2, 3) != [32]byte(tightID) {
		t.Error("the schedule of generation 2 is wrong")
	}
	events := len(l.ctrl.Generations())
	l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: looseID, Op: &event.OpV1{}})
	if len(l.ctrl.Generations()) != events {
		t.Error("a second generation is being built beside the first")
	}
	l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: looseID, Op: &event.OpV1{OpId: "once"}})
	applied := l.seq
	l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: tightID, Op: &event.OpV1{OpId: "once"}})
	if at(1, applied+1) != [32]byte(looseID) || at(g2, applied+1) != [32]byte(looseID) || at(1, applied-1) != first || l.ctrl.OpSeq("once") != applied {
		t.Error("a forward-only change must apply to every generation, once, from its event on")
	}
	activate := func(to, from uint32) {
		l.message(event.GenerationActivated, &event.GenerationActivatedV1{Generation: to, From: from, Position: 1, Diff: make([]byte, 32), Op: &event.OpV1{}})
	}
	activate(g2, 7) // not the active one
	if l.ctrl.ActiveAfter(l.seq) != 1 {
		t.Error("an activation from another generation was applied")
	}
	activate(g2, 1)
	switched := l.seq
	if l.ctrl.ActiveAfter(switched-1) != 1 || l.ctrl.ActiveAfter(switched) != g2 {
		t.Error("the switch is not at its event")
	}
	g3 := l.start(looseID, 1)
	activate(g3, g2)
	rows := l.ctrl.Generations()
	if rows[0].Dropped != l.seq || rows[1].Dropped != 0 || rows[2].Dropped != 0 {
		t.Error("of the generations before, the last one only is kept")
	}
	activate(1, g3) // dropped
	if l.ctrl.ActiveAfter(l.seq) != g3 {
		t.Error("a dropped generation was activated")
	}
	again, err := LoadControl(l.ctrlDB)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if got, ok := again.Generation(row.Number); !ok || !reflect.DeepEqual(got, row) {
			t.Errorf("generation %d alone reads as %+v", row.Number, got)
		}
	}
	for _, number := range []uint32{0, 4} {
		if got, ok := again.Generation(number); ok {
			t.Errorf("generation %d, which was never started: %+v", number, got)
		}
	}
	if got := again.Generations(); len(got) != 3 || got[2].Activated[0] != rows[2].Activated[0] || again.ActiveAfter(l.seq) != g3 {
		t.Error("the control state reads back otherwise")
	}
}

// TestRevocation: a revoked key is void from its event on; with hindsight, since the time given.
func TestRevocation(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	key := mustHMAC("one")
	rec := func(epoch int64, secret string) Result {
		return l.send(spec{shard: "alpha", root: "a", epoch: epoch, dhat: "2.0", slope: 2}.body(secret))
	}
	early := rec(1, "one")
	l.now += day
	since := l.now
	late := rec(2, "one")
	l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: key.ID, Since: since, Op: &event.OpV1{}})
	after, other := rec(3, "one"), rec(4, "two")
	if early.status() != 200 || late.status() != 200 || after.status() != 403 || after.Reason != verify.ReasonKeyRevoked || other.status() != 200 {
		t.Fatalf("%d %d %d %d", early.status(), late.status(), after.status(), other.status())
	}
	if again := rec(2, "one"); again.status() != 403 {
		t.Errorf("a repetition by a revoked key: %d", again.status())
	}
	id := verify.DefaultPolicy().ID()
	l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:], Keys: KeysHindsight, Op: &event.OpV1{}})
	_, db := l.second(2)
	flips := l.flips(2, db)
	if len(flips) != 1 || flips[0].Seq != late.Seq || !flips[0].Direct || flips[0].New.Reason != verify.ReasonKeyRevoked {
		t.Errorf("%+v", flips)
	}
}
