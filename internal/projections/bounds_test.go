package projections

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// ten is a ledger with a genesis, a key and ten accepted submissions, the events 3 to 12. Two events have each log
// time: event n has start + n/2*1000.
func ten(t *testing.T) (l *ledger, start int64) {
	l = newLedger(t, verify.DefaultPolicy(), "one")
	start = l.now
	for seq := int64(3); seq <= 12; seq++ {
		l.now = start + seq/2*1000
		l.send(spec{shard: "alpha", root: "a", epoch: seq, dhat: "2.0", slope: 2}.body("one"))
	}
	return l, start
}

func seqsOf(rows []Result) (out []uint64) {
	for i := range rows {
		out = append(out, rows[i].Seq)
	}
	return out
}

// TestListBounds takes a list to both sides of each of its bounds.
func TestListBounds(t *testing.T) {
	l, start := ten(t)
	all := func(from, to uint64) (out []uint64) {
		for seq := from; seq <= to; seq++ {
			out = append(out, seq)
		}
		return out
	}
	at := func(seq int64) int64 { return start + seq/2*1000 }
	for _, c := range []struct {
		name string
		q    Query
		want []uint64
		next uint64
	}{
		{"everything", Query{}, all(3, 12), 0},
		{"since the first of two", Query{Since: at(8)}, all(8, 12), 0},
		{"since just after both", Query{Since: at(8) + 1}, all(10, 12), 0},
		{"since before all", Query{Since: 1}, all(3, 12), 0},
		{"since after all", Query{Since: at(12) + 1}, nil, 0},
		{"until the first of two", Query{Until: at(8)}, all(3, 7), 0},
		{"until just after both", Query{Until: at(8) + 1}, all(3, 9), 0},
		{"until before all", Query{Until: 1}, nil, 0},
		{"until after all", Query{Until: at(12) + 1}, all(3, 12), 0},
		{"the last of all", Query{UpTo: 9}, all(3, 9), 0},
		{"the last of all, backwards", Query{UpTo: 4, Reverse: true}, []uint64{4, 3}, 0},
		{"from one to one", Query{FromSeq: 5, ToSeq: 5}, []uint64{5}, 0},
		{"from and to", Query{FromSeq: 5, ToSeq: 7}, all(5, 7), 0},
		{"from and to, backwards", Query{FromSeq: 7, ToSeq: 5, Reverse: true}, []uint64{7, 6, 5}, 0},
		{"from behind to", Query{FromSeq: 7, ToSeq: 5}, nil, 0},
		{"beyond the end", Query{FromSeq: 11, ToSeq: 99}, all(11, 12), 0},
		{"a full page", Query{Limit: 10}, all(3, 12), 0},
		{"a page less one", Query{Limit: 9}, all(3, 11), 12},
		{"a page, backwards", Query{Limit: 2, Reverse: true}, []uint64{12, 11}, 10},
		{"by a key that signed nothing", Query{Key: "hmac-none"}, nil, 0},
		{"accepted", Query{Outcome: verify.Accepted}, all(3, 12), 0},
		{"without a reason", Query{Reason: verify.ReasonOK}, all(3, 12), 0},
		{"with a reason", Query{Reason: verify.ReasonConflict}, nil, 0},
		{"under a policy", Query{Policy: func(id [32]byte) bool { return id == verify.DefaultPolicy().ID() }},
			all(3, 12), 0},
		{"under another policy", Query{Policy: func([32]byte) bool { return false }}, nil, 0},
	} {
		page, err := Audit(l.db, c.q)
		if got := seqsOf(page.Rows); err != nil || !slices.Equal(got, c.want) || page.Next != c.next {
			t.Errorf("%s: %v, next %d, %v, want %v, next %d", c.name, got, page.Next, err, c.want, c.next)
		}
	}
}

// TestFirstEventAt finds the first event of a log time, of which two events have each.
func TestFirstEventAt(t *testing.T) {
	l, start := ten(t)
	at := func(seq int64) int64 { return start + seq/2*1000 }
	for _, c := range []struct {
		at   int64
		want uint64
	}{{0, 1}, {start, 1}, {start + 1, 3}, {at(4), 4}, {at(4) + 1, 6}, {at(12), 12}, {at(12) + 1, 13}} {
		if got, err := SeqAt(l.db, c.at); err != nil || got != c.want {
			t.Errorf("the first event at +%d: %d %v, want %d", c.at-start, got, err, c.want)
		}
	}
	if got, err := SeqAt(NewMemStore(), 5); err != nil || got != 1 {
		t.Errorf("in an empty ledger: %d %v", got, err)
	}
}

// TestListLimits: a caller gets at most one row more than the largest page, and a hundred without a limit.
func TestListLimits(t *testing.T) {
	for asked, want := range map[int]int{-1: 100, 0: 100, 1: 1, 100: 100, 1000: 1000, 1001: 1001, 1002: 1001,
		1 << 40: 1001} {
		if got := clampLimit(asked); got != want {
			t.Errorf("%d rows asked for: %d, want %d", asked, got, want)
		}
	}
}

// TestListByID lists by the first digits of a pcs_id, of which none is needed.
func TestListByID(t *testing.T) {
	l, _ := ten(t)
	id := idOf(spec{shard: "alpha", root: "a", epoch: 5})
	for _, digits := range []int{0, 1, 8, 63, 64} {
		page, err := Audit(l.db, Query{PCS: id[:digits]})
		if err != nil || !slices.Contains(seqsOf(page.Rows), 5) || digits >= 8 && len(page.Rows) != 1 ||
			digits == 0 && len(page.Rows) != 10 {
			t.Errorf("%d digits: %v %v", digits, seqsOf(page.Rows), err)
		}
		for i := range page.Rows {
			if !strings.HasPrefix(page.Rows[i].PCSID, id[:digits]) {
				t.Errorf("%d digits: %s", digits, page.Rows[i].PCSID)
			}
		}
	}
}

// TestListOfAnotherTime: a list by outcome or reason asks the judgement of that time, not the index of today.
func TestListOfAnotherTime(t *testing.T) {
	l, _ := ten(t)
	looked := 0
	then := func(r *Result) error {
		if looked++; r.Seq == 7 {
			r.Outcome, r.Accepted, r.Reason, r.Reasons = verify.Refused, false, verify.ReasonFrozen,
				[]verify.Reason{verify.ReasonFrozen}
		}
		return nil
	}
	for name, q := range map[string]Query{"outcome": {Outcome: verify.Refused},
		"reason": {Reason: verify.ReasonFrozen}} {
		q.Then, looked = then, 0
		page, err := Audit(l.db, q)
		if err != nil || !slices.Equal(seqsOf(page.Rows), []uint64{7}) || looked != 10 {
			t.Errorf("by %s: %v %v, %d rows looked at", name, seqsOf(page.Rows), err, looked)
		}
	}
	page, err := Audit(l.db, Query{Outcome: verify.Accepted, Then: then})
	if err != nil || len(page.Rows) != 9 {
		t.Errorf("accepted: %v %v", seqsOf(page.Rows), err)
	}
	looked = 0
	if _, err := Audit(l.db, Query{Shard: "alpha", Key: "hmac-none", Then: then}); err != nil || looked != 0 {
		t.Errorf("rows of other keys were judged again: %d, %v", looked, err)
	}
	failed := errors.New("failed")
	if _, err := Audit(l.db, Query{Then: func(*Result) error { return failed }}); !errors.Is(err, failed) {
		t.Errorf("an error of Then: %v", err)
	}
}

// TestShardPages walks the list of shards in pages of every size.
func TestShardPages(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	want := []string{"a", "a1", "ab", "b", "\xc3\xa9"}
	for _, shard := range []string{"b", "ab", "a", "\xc3\xa9", "a1"} {
		l.send(spec{shard: shard, root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		pages := 0
		for after := ""; ; pages++ {
			rows, next, err := Shards(l.db, after, limit)
			if err != nil || len(rows) > limit || next != "" && next != rows[len(rows)-1].Shard {
				t.Fatalf("after %q: %d rows, next %q, %v", after, len(rows), next, err)
			}
			for _, r := range rows {
				if got = append(got, r.Shard); r.Accepted != 1 || !r.HasEpoch {
					t.Errorf("%+v", r)
				}
			}
			if after = next; after == "" {
				break
			}
		}
		if !slices.Equal(got, want) || pages != (len(want)-1)/limit {
			t.Errorf("pages of %d: %q in %d pages", limit, got, pages+1)
		}
	}
}

// TestLastByKey finds the last record of a key, also when the next key has a higher number.
func TestLastByKey(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two", "three")
	send := func(epoch int64, secret string) uint64 {
		return l.send(spec{shard: "alpha", root: "a", epoch: epoch, dhat: "2.0", slope: 2}.body(secret)).Seq
	}
	send(1, "one")
	one, two := send(2, "one"), send(3, "two")
	for secret, want := range map[string]uint64{"one": one, "two": two, "three": 0} {
		if got, err := LastByKey(l.db, mustHMAC(secret).ID, Latest); err != nil || got != want {
			t.Errorf("%s: event %d %v, want %d", secret, got, err, want)
		}
	}
	if last := send(4, "one"); last != two+1 {
		t.Fatal(last)
	}
	if got, err := LastByKey(l.db, mustHMAC("one").ID, Latest); err != nil || got != two+1 {
		t.Errorf("event %d %v", got, err)
	}
}

// TestLookupIsCut: a lookup lists the newest thousand submissions of an id and reports that there are older ones.
func TestLookupIsCut(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	body := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	facts := l.ingress(body.body("one"))
	for range maxLimit {
		l.submit(body.body("one"), facts)
	}
	first := l.seq - maxLimit + 1
	for _, more := range []bool{false, true} {
		f, err := Lookup(l.db, idOf(body))
		if err != nil || f.More != more || len(f.Seqs) != maxLimit || f.Seqs[0] != l.seq-maxLimit+1 ||
			f.Seqs[maxLimit-1] != l.seq || f.First.Seq != first {
			t.Errorf("%d submissions: %d listed, more %v, %v", l.seq-first+1, len(f.Seqs), f.More, err)
		}
		l.submit(body.body("one"), facts)
	}
	for _, id := range []string{"", strings.Repeat("0", 63), strings.Repeat("g", 64), strings.Repeat("0", 64)} {
		if _, err := Lookup(l.db, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if row, err := Shard(l.db, "alpha"); err != nil || row.Accepted != 1 || row.Replays != maxLimit+1 {
		t.Errorf("%+v %v", row, err)
	}
}

// TestNamedShard counts the refused submissions that name a shard which no key has written to.
func TestNamedShard(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	s := spec{shard: "ghost", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	l.now += day
	first := l.send(s.body("nobody's"))
	l.now += day
	last := l.send(s.body("nobody's"))
	row, more, err := Named(l.db, "ghost", Latest)
	if err != nil || more || row.Refused != 2 || row.Accepted+row.Escalated+row.Conflicts != 0 ||
		row.FirstSeq != first.Seq ||
		row.LastSeq != last.Seq || row.FirstLogTime != first.LogTime || row.LastLogTime != last.LogTime ||
		row.HasEpoch {
		t.Errorf("%+v %v %v", row, more, err)
	}
	if _, _, err := Named(l.db, "nothing", Latest); !errors.Is(err, ErrNotFound) {
		t.Errorf("a shard that nothing names: %v", err)
	}
	if _, err := Shard(l.db, "ghost"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a shard without a valid record: %v", err)
	}
	if _, err := Row(l.db, l.seq+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("an event that is not folded: %v", err)
	}
	if _, err := Row(l.db, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("an operator's event: %v", err)
	}
}

// TestAgingCache: an entry in use survives, one that is not falls out after two rounds, and the bound holds.
func TestAgingCache(t *testing.T) {
	c := newAgingCache[int](3)
	c.put("kept", 1)
	c.put("idle", 2)
	for i := range 20 {
		c.put(fmt.Sprint(i), i)
		if v, ok := c.get("kept"); !ok || v != 1 {
			t.Fatalf("after %d entries the one in use is gone", i+1)
		}
		if _, ok := c.young["idle"]; i > 6 && ok {
			t.Fatal("the idle entry was renewed")
		}
		if len(c.young) > 3 || len(c.old) > 3 {
			t.Fatalf("%d young and %d old entries", len(c.young), len(c.old))
		}
	}
	if _, ok := c.get("idle"); ok {
		t.Error("the idle entry is still there")
	}
}

// TestShardsBeyondTheCache folds the same ledger with a cache that forgets everything, to the same rows.
func TestShardsBeyondTheCache(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "two")
	for i := range 60 {
		s := spec{shard: fmt.Sprint("s", i%7), root: string("ab"[i%2]), epoch: int64(i % 5), dhat: "2.0",
			slope: 2, seed: i % 3}
		l.send(s.body([]string{"one", "two"}[i%2]))
	}
	l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: mustHMAC("two").ID})
	g, db := NewGeneration(1), NewMemStore()
	g.mem.shards, g.mem.keys = newAgingCache[*shardRow](1), newAgingCache[uint64](1)
	for i := range l.items {
		it := l.items[i]
		if _, err := g.Fold(db, &it, l.ctrl.For(1)); err != nil {
			t.Fatal(err)
		}
		WritePosition(db, g.Position(it.Index, it.Term))
	}
	if !db.Equal(l.db) {
		t.Error("the rows depend on the cache")
	}
}
