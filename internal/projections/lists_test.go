package projections

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestListsAreWhole: a list by shard, key, outcome or reason has exactly the rows of the whole list that match, refused ones and
// those that left no other trace included.
func TestListsAreWhole(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	scoped := mustHMAC("scoped")
	added := keyAdded(scoped)
	added.Scope = []string{"mine"}
	l.message(event.KeyAdded, added)
	l.keySet = verify.NewKeySet([]verify.Key{mustHMAC("one"), scoped})
	send := func(shard string, epoch int64, secret string, change func(*spec)) {
		s := spec{shard: shard, root: "a", epoch: epoch, dhat: "2.0", slope: 2}
		if change != nil {
			change(&s)
		}
		l.send(s.body(secret))
	}
	send("s1", 1, "one", nil)
	send("s1", 1, "one", nil)                                   // a replay
	send("s1", 1, "one", func(s *spec) { s.dhat = "2.1" })      // a conflict
	send("s1", 2, "one", func(s *spec) { s.dhat = "7.0" })      // escalated
	send("s1", 3, "nobody's", nil)                              // a forgery aimed at a shard
	send("ghost", 3, "nobody's", nil)                           // a forgery aimed at a shard that does not exist
	send("new", 1, "scoped", nil)                               // of a key that may not submit here
	send("mine", 1, "scoped", nil)                              // and one that may
	send("s1", 4, "one", func(s *spec) { s.wrongID = true })    // signed, under another id
	send("s1", 5, "nobody's", func(s *spec) { s.fault = true }) // neither signed nor well-formed
	l.message(event.Frozen, &event.FrozenV1{Scope: uint32(FreezeShard), Subject: "cold", Op: &event.OpV1{}})
	send("cold", 1, "one", nil)

	list := func(q Query) (seqs []uint64) {
		t.Helper()
		p, err := Audit(l.db, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Rows {
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}
	whole, err := Audit(l.db, Query{})
	if err != nil {
		t.Fatal(err)
	}
	queries := []Query{{Shard: "none"}}
	for _, r := range whole.Rows {
		queries = append(queries, Query{Shard: r.ShardID}, Query{Key: r.KeyID}, Query{Outcome: r.Outcome},
			Query{Shard: r.ShardID, Outcome: r.Outcome}, Query{Shard: r.ShardID, Key: r.KeyID})
		for _, reason := range r.Reasons {
			queries = append(queries, Query{Reason: reason}, Query{Shard: r.ShardID, Reason: reason})
		}
	}
	for _, q := range queries {
		var want []uint64
		for i := range whole.Rows {
			if q.matches(&whole.Rows[i]) {
				want = append(want, whole.Rows[i].Seq)
			}
		}
		if got := list(q); !slices.Equal(got, want) {
			t.Errorf("%+v: events %v, the whole list has %v", q, got, want)
		}
		q.Reverse = true
		slices.Reverse(want)
		if got := list(q); !slices.Equal(got, want) {
			t.Errorf("%+v: events %v, the whole list has %v", q, got, want)
		}
		if len(want) > 2 { // the newest but one down to the second
			q.FromSeq, q.ToSeq = want[1], want[len(want)-2]
			if got := list(q); !slices.Equal(got, want[1:len(want)-1]) {
				t.Errorf("%+v: events %v, the whole list has %v", q, got, want)
			}
			q.Reverse, q.FromSeq, q.ToSeq = false, q.ToSeq, q.FromSeq
			if got := list(q); len(got) != len(want)-2 || got[0] != q.FromSeq {
				t.Errorf("%+v: events %v, the whole list has %v", q, got, want)
			}
		}
	}
	for _, r := range whole.Rows {
		if r.PCSID == "" {
			continue
		}
		for _, q := range []Query{{PCS: r.PCSID}, {PCS: r.PCSID[:8]}, {PCS: r.PCSID, Outcome: r.Outcome}, {PCS: r.PCSID, Shard: r.ShardID}} {
			var want []uint64
			for _, other := range whole.Rows {
				if other.PCSID == r.PCSID && (q.Outcome == 0 || other.Outcome == q.Outcome) {
					want = append(want, other.Seq)
				}
			}
			if got := list(q); !slices.Equal(got, want) {
				t.Errorf("%+v: events %v, want %v", q, got, want)
			}
		}
	}
	if got := list(Query{PCS: strings.Repeat("0", 64)}); len(got) != 0 {
		t.Errorf("an id that nobody named: events %v", got)
	}
	for _, shard := range []string{"ghost", "new", "cold"} {
		got := list(Query{Shard: shard})
		if len(got) != 1 {
			t.Errorf("shard %s: events %v", shard, got)
		}
		row, more, err := Named(l.db, shard, Latest)
		if err != nil || more || row.Refused != 1 || row.Accepted != 0 || row.FirstSeq != got[0] || row.LastSeq != got[0] || row.LastLogTime == 0 {
			t.Errorf("shard %s is named: %+v %v %v", shard, row, more, err)
		}
	}
	if _, _, err := Named(l.db, "none", Latest); !errors.Is(err, ErrNotFound) {
		t.Errorf("a shard that nobody names: %v", err)
	}
}

// TestComplete finds ids by any number of digits, in order, and reads no further than it must.
func TestComplete(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	for epoch := range int64(40) {
		s := spec{shard: "s", root: "a", epoch: epoch, dhat: "2.0", slope: 2}
		l.send(s.body("one"))
	}
	whole, err := Audit(l.db, Query{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range whole.Rows {
		all = append(all, r.PCSID)
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "0", "a", "f", all[3][:9], all[7][:64], strings.Repeat("0", 64), strings.Repeat("f", 64), "xy", all[0] + "0"} {
		var want []string
		for _, id := range all {
			if strings.HasPrefix(id, prefix) {
				want = append(want, id)
			}
		}
		for _, limit := range []int{1, 3, 100} {
			got, err := Complete(l.db, prefix, limit)
			if err != nil || !slices.Equal(got, want[:min(limit, len(want))]) {
				t.Errorf("%q, at most %d: %v %v, want %v", prefix, limit, got, err, want)
			}
		}
	}
}
