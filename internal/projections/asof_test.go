package projections

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// readings are the texts of all reads of a generation.
type readings struct {
	ids, shards, keys []string
}

// ids lists the pcs_ids that the records of history have.
func historyIDs() (out []string) {
	for _, shard := range []string{"alpha", "beta"} {
		for _, root := range []string{"a", "b"} {
			for epoch := range int64(4) {
				out = append(out, idOf(spec{shard: shard, root: root, epoch: epoch}))
			}
		}
	}
	return out
}

// readAt reads everything as of an event.
func readAt(rt *rapid.T, s Store, seq uint64) (out readings) {
	text := func(v any, err error) string {
		if err != nil && !errors.Is(err, ErrNotFound) {
			rt.Fatalf("as of event %d: %v", seq, err)
		}
		return fmt.Sprintf("%+v, found %v", v, err == nil)
	}
	for _, id := range historyIDs() {
		f, err := LookupAt(s, id, seq)
		out.ids = append(out.ids, text(f, err))
	}
	for _, shard := range []string{"alpha", "beta", "gamma"} {
		w, err := ShardAt(s, shard, seq)
		out.shards = append(out.shards, text(w, err))
		named, more, err := Named(s, shard, seq)
		out.shards = append(out.shards, text(named, err), fmt.Sprint(more))
	}
	for after, more := "", true; more; more = after != "" {
		rows, next, err := ShardsAt(s, after, 1, seq)
		if after = next; len(rows) > 0 {
			out.shards = append(out.shards, text(rows, err))
		}
	}
	for _, secret := range []string{"one", "two", "forger"} {
		last, err := LastByKey(s, mustHMAC(secret).ID, seq)
		out.keys = append(out.keys, text(last, err))
	}
	return out
}

// TestReadsAsOf: what is read as of an event is what was read when the log ended with it.
func TestReadsAsOf(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := history(rt, t)
		var then []readings
		db, c := NewMemStore(), NewControl()
		g := NewGeneration(1)
		for i := range l.items {
			it := l.items[i]
			if err := errors.Join(c.Fold(NewMemStore(), &it), second(g.Fold(db, &it, c.For(1)))); err != nil {
				rt.Fatal(err)
			}
			WritePosition(db, g.Position(it.Index, it.Term))
			then = append(then, readAt(rt, db, Latest))
		}
		for i, want := range then {
			if got := readAt(rt, db, uint64(i+1)); fmt.Sprint(got) != fmt.Sprint(want) {
				rt.Fatalf("as of event %d of %d:\n%v\nthen:\n%v", i+1, len(then), got, want)
			}
		}
	})
}

// TestLookupBetweenJudgements: a record that was judged again has the judgement that stood after each event, also where
// a later policy refused it again and again.
func TestLookupBetweenJudgements(t *testing.T) {
	p := verify.DefaultPolicy()
	p.Epochs.OnRegression = verify.RegressionEscalate
	l := newLedger(t, p, "one")
	old := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	send := func(s spec, want verify.Outcome) uint64 {
		t.Helper()
		if r := l.send(s.body("one")); r.Outcome != want {
			t.Fatalf("event %d: %+v", r.Seq, r)
		}
		return l.seq
	}
	send(spec{shard: "alpha", root: "a", epoch: 5, dhat: "2.0", slope: 2}, verify.Accepted)
	first := send(old, verify.Escalated)
	replay := send(old, verify.Escalated)
	l.now += 15 * day
	again := send(old, verify.Escalated)
	p.Epochs.OnRegression = verify.RegressionReject
	l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: l.publish(p), Op: &event.OpV1{}})
	l.now += 15 * day
	refused := send(old, verify.Refused)
	send(old, verify.Refused)
	p.Epochs.OnRegression = verify.RegressionAllow
	l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: l.publish(p), Op: &event.OpV1{}})
	last := send(old, verify.Accepted)
	for seq, want := range map[uint64]uint64{first: first, replay: first, again: again, refused: again,
		refused + 1: again, last - 1: again, last: last, Latest: last} {
		f, err := LookupAt(l.db, idOf(old), seq)
		if err != nil || f.Current.Seq != want || f.First.Seq != first {
			t.Errorf("as of event %d: %d stands, %v, want %d", seq, f.Current.Seq, err, want)
		}
		newest, err := NewestOf(l.db, idOf(old), seq, 3)
		if err != nil || !slices.Equal(newest, f.Seqs[max(0, len(f.Seqs)-3):]) {
			t.Errorf("as of event %d: the newest are %v of %v, %v", seq, newest, f.Seqs, err)
		}
	}
	if _, err := LookupAt(l.db, idOf(old), first-1); !errors.Is(err, ErrNotFound) {
		t.Errorf("before its first event: %v", err)
	}
}

// TestFarShard: the state of a shard between too many submissions is refused, and one near either end is read.
func TestFarShard(t *testing.T) {
	const events = 2*maxFar + 3
	db := NewMemStore()
	policy := verify.DefaultPolicy()
	id := policy.ID()
	db.Set(numKey(spacePolicy, 1), id[:])
	w := shardRow{first: 2, top: -1}
	for seq := uint64(2); seq <= events; seq++ {
		id := fmt.Sprintf("%064x", seq)
		r := Result{Seq: seq, Outcome: verify.Escalated, ShardID: "a", PCSID: id, HasBudget: true, MerkleRoot: id,
			policySeq: 1, JudgedSeq: seq, Reasons: []verify.Reason{verify.ReasonSchema}}
		w.count(&r)
		db.Set(rowKey(seq), r.appendTail(r.appendCore(nil)))
		db.Set(append(byShard("a"), numKey(0, seq)[1:]...), nil)
	}
	db.Set(textKey(spaceShard, "a"), w.append(nil))
	for seq, want := range map[uint64]uint64{2: 1, 1000: 999, maxFar + 1: maxFar, events - 1000: events - 1001} {
		if got, err := ShardAt(db, "a", seq); err != nil || got.Escalated != want || got.LastSeq != seq {
			t.Errorf("as of event %d: %+v, %v, want %d", seq, got, err, want)
		}
	}
	if _, err := ShardAt(db, "a", maxFar+2); !errors.Is(err, ErrFar) {
		t.Errorf("in the middle: %v", err)
	}
	if _, _, err := ShardsAt(db, "", 10, maxFar+2); !errors.Is(err, ErrFar) {
		t.Errorf("the list: %v", err)
	}
}

// TestShardsAsOfAreBounded: a list as of an event ends early when a shard took many rows, and goes on behind it.
func TestShardsAsOfAreBounded(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	for epoch := range int64(3) {
		for _, shard := range []string{"a", "b"} {
			l.send(spec{shard: shard, root: "a", epoch: epoch, dhat: "2.0", slope: 2}.body("one"))
		}
	}
	seq := l.seq - 2
	l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n1", Count: 3})
	rows, next, err := ShardsAt(l.db, "", 10, seq)
	if err != nil || next != "" || len(rows) != 2 {
		t.Fatalf("%v, then %q, %v", rows, next, err)
	}
	for _, row := range rows {
		if row.Accepted != 2 || row.Epoch != 1 {
			t.Errorf("%+v", row)
		}
	}
	if rows, next, err = shardsWithin(l.db, "", 10, seq, 0); err != nil || next != "a" || len(rows) != 1 {
		t.Errorf("with no row to look at: %v, then %q, %v", rows, next, err)
	}
	if rows, next, err = shardsWithin(l.db, next, 10, seq, 0); err != nil || next != "" || len(rows) != 1 {
		t.Errorf("the rest: %v, then %q, %v", rows, next, err)
	}
}
