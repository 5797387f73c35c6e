package projections

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// batchTx is a step whose scans see only what was committed before, like a store's batch.
type batchTx struct {
	*MemStore
	pending map[string][]byte
}

func (b *batchTx) Get(k []byte) ([]byte, error) {
	if v, ok := b.pending[string(k)]; ok {
		return v, nil
	}
	return b.MemStore.Get(k)
}
func (b *batchTx) Set(k, v []byte) { b.pending[string(k)] = append([]byte{}, v...) }
func (b *batchTx) Delete([]byte)   { panic("no fold deletes") }
func (b *batchTx) commit() {
	for k, v := range b.pending {
		b.MemStore.Set([]byte(k), v)
	}
}

// history draws a random ledger.
func history(rt *rapid.T, t *testing.T) *ledger {
	p := verify.DefaultPolicy()
	p.Epochs.OnRegression = rapid.SampledFrom([]string{"escalate", "reject", "allow"}).Draw(rt, "regression")
	if p.Epochs.OnRegression != "allow" {
		p.Epochs.LateWindow = rapid.SampledFrom([]int64{0, 1, 2, 4096}).Draw(rt, "window")
	}
	l := newLedger(t, p, "one", "two")
	for range rapid.IntRange(1, 60).Draw(rt, "events") {
		if rapid.IntRange(0, 19).Draw(rt, "operator") == 0 {
			l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n1", Count: 3})
			continue
		}
		if rapid.IntRange(0, 9).Draw(rt, "act") == 0 {
			drawOperation(rt, l)
			continue
		}
		l.now += rapid.SampledFrom([]int64{0, 0, 1, day, 14 * day, 14*day + 1}).Draw(rt, "wait")
		s := spec{
			shard: rapid.SampledFrom([]string{"alpha", "beta"}).Draw(rt, "shard"),
			root:  rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "root"),
			epoch: int64(rapid.IntRange(0, 3).Draw(rt, "epoch")),
			dhat:  rapid.SampledFrom([]string{"2.0", "2.0", "2.0", "2.1", "2.9"}).Draw(rt, "dhat"),
			slope: rapid.SampledFrom([]int{2, 2, 2, 3}).Draw(rt, "slope"),
		}
		s.attempt = rapid.IntRange(1, 2).Draw(rt, "attempt")
		s.fault = rapid.IntRange(0, 15).Draw(rt, "fault") == 0
		s.wrongID = rapid.IntRange(0, 15).Draw(rt, "wrongID") == 0
		l.send(s.body(rapid.SampledFrom([]string{"one", "one", "one", "two", "forger"}).Draw(rt, "key")))
	}
	return l
}

// drawOperation does something about keys or freezes.
func drawOperation(rt *rapid.T, l *ledger) {
	key := mustHMAC(rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "act.key"))
	scope := FreezeScope(rapid.IntRange(0, 2).Draw(rt, "act.scope"))
	subject := map[FreezeScope]string{FreezeShard: "alpha", FreezeKey: key.ID}[scope]
	switch rapid.IntRange(0, 7).Draw(rt, "act.what") {
	case 0, 1, 2:
		l.message(event.Frozen, &event.FrozenV1{Scope: uint32(scope), Subject: subject})
	case 3, 4:
		l.message(event.Thawed, &event.ThawedV1{Scope: uint32(scope), Subject: subject})
	case 5:
		l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: key.ID, Since: l.now - day})
	case 6:
		l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: key.ID})
	case 7:
		m := keyAdded(key)
		m.Op, m.NotBefore, m.NotAfter = &event.OpV1{}, l.now-day, rapid.SampledFrom([]int64{0, l.now + 14*day}).Draw(rt, "act.until")
		if of := rapid.SampledFrom([]string{"", "alpha", "b*", "gamma"}).Draw(rt, "act.shards"); of != "" {
			m.Scope = []string{of}
		}
		l.message(event.KeyAdded, m)
	}
}

// TestModel: the fold and the dumb model agree on random histories, and the batch size changes nothing.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := history(rt, t)
		p, _ := l.ctrl.For(1).PolicyAt(l.seq)
		m := newModel(p.Policy)
		for i := range l.items {
			if want, got := m.step(&l.items[i]), l.results[i]; !same(want, got) {
				rt.Fatalf("event %d: got %+v\nmodel %+v", i+1, got, want)
			}
		}
		other := refold(rt, l, rapid.IntRange(1, 9).Draw(rt, "batch"))
		if !other.Equal(l.db) {
			rt.Fatal("rows depend on the batch size")
		}
		readBack(rt, l)
	})
}

// refold folds l again in steps of n events, loading both folds anew before each step. If n is even, all submissions are
// prepared in the same memory.
func refold(rt *rapid.T, l *ledger, n int) *MemStore {
	db, ctrlDB := NewMemStore(), NewMemStore()
	for items := range slices.Chunk(l.items, n) {
		g, err := LoadGeneration(1, db)
		if err != nil {
			rt.Fatal(err)
		}
		c, err := LoadControl(ctrlDB)
		if err != nil {
			rt.Fatal(err)
		}
		tx, ctx := &batchTx{db, map[string][]byte{}}, &batchTx{ctrlDB, map[string][]byte{}}
		var last *Item
		var memory Memory // for all of them
		for i := range items {
			it := items[i]
			it.Prepared = nil
			if err := c.Fold(ctx, &it); err != nil {
				rt.Fatal(err)
			}
			if n%2 == 0 {
				memory.Prepare(&it, l.keySet, c.For(1))
			}
			if _, err := g.Fold(tx, &it, c.For(1)); err != nil {
				rt.Fatal(err)
			}
			last = &items[i]
		}
		WritePosition(tx, g.Position(last.Index, last.Term))
		tx.commit()
		ctx.commit()
	}
	if !ctrlDB.Equal(l.ctrlDB) {
		rt.Fatal("control rows depend on the batch size")
	}
	c, err := LoadControl(ctrlDB)
	if err != nil || !reflect.DeepEqual(c, l.ctrl) {
		rt.Fatalf("control state differs: %v\n%+v\n%+v", err, c, l.ctrl)
	}
	return db
}

// readBack compares every query with a plain walk over the results.
func readBack(rt *rapid.T, l *ledger) {
	for _, want := range l.results {
		if want.Seq == 0 {
			continue
		}
		got, err := Row(l.db, want.Seq)
		if err != nil {
			rt.Fatal(err)
		}
		got.Generation, want.FactsMismatch, want.MaxEpoch, want.AgainSeq = want.Generation, false, 0, 0
		if want.First != nil {
			got.First.Generation = want.First.Generation
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("row %d: got %+v\nwant %+v", want.Seq, got, want)
		}
	}
	q := Query{
		Shard:   rapid.SampledFrom([]string{"", "alpha"}).Draw(rt, "q.shard"),
		Key:     rapid.SampledFrom([]string{"", mustHMAC("two").ID}).Draw(rt, "q.key"),
		Outcome: verify.Outcome(rapid.IntRange(0, 4).Draw(rt, "q.outcome")),
		Reason:  verify.Reason(rapid.SampledFrom([]int{0, 0, 1, 6, 7, 8, 9, 10, 12, 21, 23}).Draw(rt, "q.reason")),
		Limit:   rapid.IntRange(1, 7).Draw(rt, "q.limit"),
		Reverse: rapid.Bool().Draw(rt, "q.reverse"),
	}
	if rapid.Bool().Draw(rt, "q.times") {
		q.Since = l.items[rapid.IntRange(0, len(l.items)-1).Draw(rt, "q.since")].LogTime
		q.Until = l.items[rapid.IntRange(0, len(l.items)-1).Draw(rt, "q.until")].LogTime
	}
	var want, got []uint64
	for i, r := range l.results {
		at := l.items[i].LogTime
		if r.Seq != 0 && q.matches(&r) && at >= q.Since && (q.Until == 0 || at < q.Until) {
			want = append(want, r.Seq)
		}
	}
	if q.Reverse {
		slices.Reverse(want)
	}
	for {
		page, err := Audit(l.db, q)
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range page.Rows {
			got = append(got, r.Seq)
		}
		if q.FromSeq = page.Next; page.Next == 0 {
			break
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("%+v: got %v, want %v", q, got, want)
	}
}

// TestDigestAt: the digest of every position is the one that the fold had there.
func TestDigestAt(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	var want [][32]byte
	note := func() { _, d := l.gen.Digest(); want = append(want, d) }
	_, at2 := l.gen.Digest()
	for i := range 600 {
		if i%7 == 0 {
			l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Count: uint64(i)})
		} else {
			l.send(spec{shard: "alpha", root: "a", epoch: int64(i), dhat: "2.0", slope: 2}.body("one"))
		}
		note()
	}
	for i, w := range append([][32]byte{at2}, want...) {
		if d, err := DigestAt(l.db, uint64(i+2)); err != nil || d != w {
			t.Fatalf("event %d: %x %v, want %x", i+2, d, err, w)
		}
	}
	if d, err := DigestAt(l.db, 0); err != nil || d != [32]byte{} {
		t.Fatal(d, err)
	}
	if _, err := DigestAt(l.db, l.seq+1); err == nil {
		t.Fatal("digest of an event that is not folded")
	}
}

// TestStanding: the shortcut answers plain replays and nothing else.
func TestStanding(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.9", slope: 2}
	first := l.send(s.body("one"))
	ttl := verify.DefaultPolicy().Params.DedupTTL
	ask := func(body []byte, now int64) (Result, bool) {
		it := Item{Seq: l.seq, Kind: event.Submission, Event: event.Event{Kind: event.Submission, Payload: event.Sub{Body: body}.Payload()}}
		Prepare(&it, l.keySet, l.ctrl.For(1))
		c := &Prepared{Rec: it.Prepared.Rec, Facts: l.ingress(body)}
		if c.Facts.Valid() {
			c.Inputs = c.Rec.InputsDigest(c.Rec.Tuple(c.Facts.Profile))
		}
		r, ok, err := Standing(l.db, c, now, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return r, ok
	}
	again := s
	again.attempt = 5
	if r, ok := ask(again.body("one"), l.now+ttl); !ok || !sameAnswer(&r, &first) {
		t.Errorf("replay: %v %+v", ok, r)
	}
	other, free, claim := s, s, s
	other.slope, free.epoch, claim.dhat = 3, 2, "2.8"
	for name, c := range map[string]struct {
		body []byte
		now  int64
	}{
		"late": {s.body("one"), l.now + ttl + 1}, "counts": {other.body("one"), l.now}, "free": {free.body("one"), l.now},
		"claim": {claim.body("one"), l.now}, "key": {s.body("two"), l.now}, "forged": {s.body("nobody"), l.now},
	} {
		if r, ok := ask(c.body, c.now); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
