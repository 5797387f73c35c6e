package projections

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// fatal is the part of a test that testing and rapid share.
type fatal interface {
	Fatalf(format string, args ...any)
}

// apart is one submission with what its verdict depends on, taken out of a ledger.
type apart struct {
	it        Item
	stated    Stated
	operators []Item
	earlier   []Earlier
}

// takeApart takes a submission of a generation out of its ledger.
func takeApart(t fatal, l *ledger, db Store, number uint32, seq uint64) apart {
	plain := func(seq uint64) Item {
		it := l.items[seq-1]
		it.Prepared = nil
		return it
	}
	read := func(s Stated) Result {
		r, err := ParseCore(s.Seq, s.Core)
		if err != nil {
			t.Fatalf("event %d: %v", s.Seq, err)
		}
		r.Policy, r.Generation = s.Policy, number
		return r
	}
	s, err := stateAt(db, seq)
	if err != nil {
		t.Fatalf("event %d: %v", seq, err)
	}
	a := apart{it: plain(seq), stated: s}
	a.stated.Result = read(s)
	causes, err := Causes(db, &s.Result)
	if err != nil {
		t.Fatalf("event %d: %v", seq, err)
	}
	for _, c := range causes {
		a.earlier = append(a.earlier, Earlier{Item: plain(c.Seq), Outcome: read(c)})
	}
	sub, err := event.DecodeSubmission(a.it.Event.Payload)
	if err != nil {
		t.Fatalf("event %d: %v", seq, err)
	}
	j := Judged{Generation: number, Seq: seq, KeyID: sub.Facts.KeyID, Shard: s.ShardID}
	for _, needed := range l.ctrl.Needed(j, l.seq) {
		a.operators = append(a.operators, plain(needed))
	}
	return a
}

// reproduce judges the submission again, without the ledger.
func (a apart) reproduce(t fatal) (Result, []byte) {
	c, err := ControlOf(a.operators)
	if err != nil {
		t.Fatalf("event %d: %v", a.it.Seq, err)
	}
	it := a.it
	r, core, err := Reproduce(&it, &a.stated.Result, slices.Clone(a.earlier), c.For(a.stated.Generation))
	if err != nil {
		t.Fatalf("event %d of %+v: %v", a.it.Seq, a.stated.Result, err)
	}
	return r, core
}

// reproduceAll reproduces every submission of a generation, and returns how many by outcome and how many with
// earlier submissions.
func reproduceAll(t fatal, l *ledger, db Store, number uint32) (outcomes [5]int, withEarlier int) {
	for i := range l.items {
		if l.items[i].Kind != event.Submission {
			continue
		}
		a := takeApart(t, l, db, number, uint64(i+1))
		r, core := a.reproduce(t)
		if !bytes.Equal(core, a.stated.Core) || r.Policy != a.stated.Policy {
			t.Fatalf("event %d: %+v\nstated %+v\nearlier %+v", a.it.Seq, r, a.stated.Result, a.earlier)
		}
		outcomes[r.Outcome]++
		withEarlier += min(len(a.earlier), 1)
	}
	return outcomes, withEarlier
}

// TestReproduceHistories: every outcome of random ledgers follows from the events that it depends on alone, in a
// second generation with hindsight too.
func TestReproduceHistories(t *testing.T) {
	var outcomes [5]int
	earlier := 0
	rapid.Check(t, func(rt *rapid.T) {
		l := history(rt, t)
		p := verify.DefaultPolicy()
		p.Params.TolD = 0
		policy := l.publish(p)
		from := uint64(rapid.IntRange(1, int(l.seq)).Draw(rt, "from"))
		l.message(event.GenerationStarted, &event.GenerationStartedV1{Policy: policy, FromSeq: from,
			Keys: uint32(rapid.IntRange(0, 1).Draw(rt, "keys")), Op: &event.OpV1{}})
		_, db := l.second(2)
		for number, store := range map[uint32]Store{1: l.db, 2: db} {
			got, more := reproduceAll(rt, l, store, number)
			for i, n := range got {
				outcomes[i] += n
			}
			earlier += more
		}
	})
	if t.Logf("by outcome %v, with earlier submissions %d", outcomes[1:], earlier); slices.Contains(outcomes[1:], 0) ||
		earlier == 0 {
		t.Error("some outcome never came")
	}
}

// TestReproduceCorpus: the same for all records of the corpora.
func TestReproduceCorpus(t *testing.T) {
	l := corpusLedger(t)
	for _, file := range []string{"good-hmac.ndjson", "good-ed25519.ndjson", "bad-input.ndjson"} {
		for _, c := range readCorpus(t, file) {
			if body := c.bytes(t); c.Expect.Class != "http" && len(body) <= 1<<20 {
				l.send(body)
			}
		}
	}
	outcomes, earlier := reproduceAll(t, l, l.db, 1)
	if t.Logf("by outcome %v, with earlier submissions %d", outcomes[1:], earlier); slices.Contains(outcomes[1:], 0) {
		t.Error("some outcome never came")
	}
}

// TestReproduceWithout: without an event that an outcome depends on, another outcome follows or none at all.
func TestReproduceWithout(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	s := spec{shard: "alpha", root: "a", epoch: 5, dhat: "2.0", slope: 2}
	other := func(change func(*spec)) []byte {
		o := s
		change(&o)
		return o.body("one")
	}
	first := l.send(s.body("one"))
	conflict := l.send(other(func(o *spec) { o.dhat = "2.1" }))
	regression := l.send(other(func(o *spec) { o.epoch = 2 }))
	equivocation := l.send(other(func(o *spec) { o.root = "b" }))
	replay := l.send(other(func(o *spec) { o.attempt = 7 }))
	l.message(event.Frozen, &event.FrozenV1{Scope: uint32(FreezeShard), Subject: "alpha"})
	frozen := l.send(other(func(o *spec) { o.epoch = 9 }))
	for name, c := range map[string]struct {
		of      Result
		without event.Kind
	}{
		"accepted without the key":           {first, event.KeyAdded},
		"frozen without the freeze":          {frozen, event.Frozen},
		"conflict without the first one":     {conflict, event.Submission},
		"regression without the mark":        {regression, event.Submission},
		"equivocation without the first one": {equivocation, event.Submission},
		"replay without the first one":       {replay, event.Submission},
	} {
		a := takeApart(t, l, l.db, 1, c.of.Seq)
		if _, core := a.reproduce(t); !bytes.Equal(core, a.stated.Core) {
			t.Errorf("%s: not even with it", name)
		}
		if c.without == event.Submission {
			a.earlier = nil
		}
		a.operators = slices.DeleteFunc(a.operators, func(it Item) bool { return it.Kind == c.without })
		if _, core := a.reproduce(t); bytes.Equal(core, a.stated.Core) {
			t.Errorf("%s: the same outcome", name)
		}
	}
	lying := takeApart(t, l, l.db, 1, conflict.Seq)
	lying.earlier[0].Item = l.items[frozen.Seq-1]
	c, err := ControlOf(lying.operators)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Reproduce(&lying.it, &lying.stated.Result, lying.earlier, c.For(1)); err == nil {
		t.Error("an earlier submission with the record of another one is taken")
	}
}

// TestNeededOfALaterGeneration: the schedule of a third generation follows from the events that made it, also when an
// activation says up to where its flips were counted.
func TestNeededOfALaterGeneration(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one", "unrelated")
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	r := l.send(s.body("one"))
	strict := verify.DefaultPolicy()
	strict.Params.TolD = 0
	number := l.start(l.publish(strict), 1)
	counted := l.seq
	l.message(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "n1", Count: 3})
	l.message(event.GenerationActivated, &event.GenerationActivatedV1{Generation: number, From: 1, Position: counted,
		Diff: make([]byte, 32), CountedTo: counted, Op: &event.OpV1{}})
	if active, _ := l.ctrl.Active(); active != number {
		t.Fatal("not activated")
	}
	third := l.start(l.publish(func() verify.Policy { p := strict; p.Params.TolD = 1; return p }()), r.Seq+1)
	_, db := l.second(third)
	if outcomes, _ := reproduceAll(t, l, db, third); outcomes[verify.Accepted] != 1 {
		t.Errorf("outcomes %v", outcomes)
	}
	a := takeApart(t, l, db, third, r.Seq)
	for _, it := range a.operators {
		if it.Seq == 3 {
			t.Error("the key of somebody else is among the events")
		}
	}
	if len(a.operators) != 8 {
		t.Errorf("%d events", len(a.operators))
	}
}

// TestReproduceJudgedTwiceBefore: a record that is judged a third time depends on the second judgement, not on the first.
func TestReproduceJudgedTwiceBefore(t *testing.T) {
	strict, wide := verify.DefaultPolicy(), verify.DefaultPolicy()
	wide.Epochs.LateWindow = 10
	l := newLedger(t, strict, "one")
	s := spec{shard: "alpha", root: "a", epoch: 9, dhat: "2.0", slope: 2}
	l.send(s.body("one"))
	s.epoch = 4
	apply := func(p verify.Policy) {
		t.Helper()
		id := p.ID()
		if _, known := l.ctrl.Published(id); !known {
			l.publish(p)
		}
		l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: id[:], Op: &event.OpV1{}})
		l.now += p.Params.DedupTTL + 1
	}
	first := l.send(s.body("one"))
	apply(wide)
	second := l.send(s.body("one"))
	apply(strict)
	third := l.send(s.body("one"))
	if first.Reason != verify.ReasonEpochRegression || second.Reason != verify.ReasonLateEpoch ||
		third.Reason != verify.ReasonOK || !third.Reverified {
		t.Fatalf("%s %s %s", first.Reason, second.Reason, third.Reason)
	}
	reproduceAll(t, l, l.db, 1)
}

// TestReproduceDisputed: facts that a majority found false count in the generations from before, and in none after.
func TestReproduceDisputed(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	r := l.send(spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("one"))
	l.message(event.FactsDisputed, &event.FactsDisputedV1{Seq: r.Seq, Voters: []string{"n1", "n2"}, Node: "n1"})
	p := verify.DefaultPolicy()
	number := l.start(func() []byte { id := p.ID(); return id[:] }(), 1)
	_, db := l.second(number)
	for generation, c := range map[uint32]struct {
		store Store
		want  verify.Outcome
	}{1: {l.db, verify.Accepted}, number: {db, verify.Refused}} {
		if outcomes, _ := reproduceAll(t, l, c.store, generation); outcomes[c.want] != 1 {
			t.Errorf("generation %d: %v", generation, outcomes)
		}
	}
}
