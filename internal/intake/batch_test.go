package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

var here = api.Meta{Remote: "192.0.2.1", RequestID: "R-1"}

// batch sends records together.
func (b *bench) batch(bodies ...[]byte) []api.Submitted {
	b.Helper()
	batch, err := b.Batch(here)
	if err != nil {
		b.Fatal(err)
	}
	return batch.Submit(b.Context(), bodies)
}

// text writes what a client is told as JSON, without what differs between two ledgers.
func (b *bench) text(r api.Submitted) string {
	b.Helper()
	var v any = r.Answer
	if r.Err != nil {
		var p *wire.Problem
		if !errors.As(r.Err, &p) {
			b.Fatal(r.Err)
		}
		v = p
	}
	out, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return string(out)
}

// codes are the codes of the problems in order, "ok" for an answer.
func (b *bench) codes(all []api.Submitted) string {
	b.Helper()
	var out []string
	for _, r := range all {
		if code := b.code(r.Err); code != "" {
			out = append(out, string(code))
		} else {
			out = append(out, "ok")
		}
	}
	return strings.Join(out, " ")
}

// TestBatchIsItsSingles: records of all kinds, sent together, get what they get one after the other, and the log has
// the same events in fewer entries.
func TestBatchIsItsSingles(t *testing.T) {
	one, many := newBench(t), newBench(t)
	order := []string{"accepted", "forged", "escalated", "malformed", "conflict", "unsigned", "accepted", "conflict", "malformed"}
	kinds := one.kinds()
	for round := range 2 {
		var bodies [][]byte
		for _, name := range order {
			bodies = append(bodies, kinds[name])
		}
		before := many.ledger.Entries()
		got := many.batch(bodies...)
		if entries := many.ledger.Entries() - before; entries > 1 {
			t.Errorf("round %d: %d entries", round, entries)
		}
		for i, name := range order {
			answer, err := one.Submit(t.Context(), kinds[name], here)
			a, b := one.text(api.Submitted{Answer: answer, Err: err}), many.text(got[i])
			if round == 0 && i >= 7 {
				continue // the single one is a repetition, the batch has the first one in the same entry
			}
			if a != b && round == 0 {
				t.Errorf("round %d, %s:\n%s\nsingle:\n%s", round, name, b, a)
			}
		}
	}
	if len(one.seen) != len(many.seen) {
		t.Errorf("%d were reported, of singles %d", len(many.seen), len(one.seen))
	}
	for i, s := range many.seen {
		if s.KeyID != one.seen[i].KeyID || (s.Rec == nil) != (one.seen[i].Rec == nil) {
			t.Errorf("%d: %+v, single %+v", i, s, one.seen[i])
		}
	}
}

// TestFirstOfABatchWins: within one batch, too, the first of an id wins, repetitions are answered as the first, and
// the epochs of a shard come in order.
func TestFirstOfABatchWins(t *testing.T) {
	b := newBench(t)
	first := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	other := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Near: true})
	next := b.sign(nodetest.Record{Shard: "a", Epoch: 2, Root: "r"})
	got := b.batch(first, other, first, next)
	if codes := b.codes(got); codes != "ok conflict ok ok" {
		t.Fatal(codes)
	}
	if got[2].Answer.Seq != got[0].Answer.Seq || !got[2].Answer.Replayed || got[0].Answer.Replayed || !got[3].Answer.Accepted {
		t.Errorf("%+v\n%+v\n%+v", got[0].Answer, got[2].Answer, got[3].Answer)
	}
	if got := b.batch(other, first, next); b.codes(got) != "conflict ok ok" || !got[1].Answer.Replayed || !got[2].Answer.Replayed {
		t.Errorf("again: %s", b.codes(got))
	}
}

// TestOneQuestionForAll: whatever number of records need a quorum, it is asked once.
func TestOneQuestionForAll(t *testing.T) {
	asked := 0
	b := newBench(t, func(o *intake.Options) {
		confirm := o.Confirm
		o.Confirm = func(ctx context.Context) error {
			asked++
			return confirm(ctx)
		}
	})
	kinds := b.kinds()
	b.batch(kinds["accepted"])
	if asked != 0 {
		t.Errorf("a new record asks a quorum %d times", asked)
	}
	got := b.batch(kinds["accepted"], kinds["forged"], kinds["unsigned"], kinds["conflict"], kinds["accepted"],
		b.sign(nodetest.Record{Shard: "z", Epoch: 7, Root: "r", Forged: true}))
	if codes := b.codes(got); codes != "ok bad_signature bad_signature conflict ok bad_signature" || asked != 1 {
		t.Errorf("%s, asked %d times", codes, asked)
	}
}

// TestNoneOvertakes: once a record of a shard was not taken, no later one of the shard is, in this group and the next.
// Other shards go on, and what was decided before the group is answered.
func TestNoneOvertakes(t *testing.T) {
	fail := true
	b := newBench(t, func(o *intake.Options) {
		o.CheckOwn = func(_ context.Context, e event.Event) error {
			if sub, err := event.DecodeSubmission(e.Payload); err != nil || fail && strings.Contains(string(sub.Body), `"epoch":2,`) {
				return errors.New("not this one")
			}
			return nil
		}
	})
	rec := func(shard string, epoch int64) []byte {
		return b.sign(nodetest.Record{Shard: shard, Epoch: epoch, Root: "r"})
	}
	batch, err := b.Batch(here)
	if err != nil {
		t.Fatal(err)
	}
	got := batch.Submit(t.Context(), [][]byte{rec("a", 1), rec("a", 2), rec("b", 1), rec("a", 3), rec("a", 1)})
	if codes := b.codes(got); codes != "ok overloaded ok overloaded overloaded" {
		t.Errorf("%s", codes)
	}
	fail = false
	got = batch.Submit(t.Context(), [][]byte{rec("a", 2), rec("a", 4), rec("b", 3), rec("a", 1), rec("b", 1)})
	if codes := b.codes(got); codes != "overloaded overloaded ok ok ok" || !got[3].Answer.Replayed {
		t.Errorf("the next group: %s", codes)
	}
	if got = b.batch(rec("a", 2), rec("a", 3), rec("a", 4)); b.codes(got) != "ok ok ok" {
		t.Errorf("sent again: %s", b.codes(got))
	}
	for _, r := range got {
		if !r.Answer.Accepted || r.Answer.Replayed {
			t.Errorf("%+v", r.Answer)
		}
	}
}

// TestThrottledKeyHolds: a key whose rate comes back between two records does not let the second overtake the first.
func TestThrottledKeyHolds(t *testing.T) {
	b := newBench(t, func(o *intake.Options) { o.KeyRate = 1 })
	var bodies [][]byte
	for i := range int64(6) {
		bodies = append(bodies, b.sign(nodetest.Record{Shard: "a", Epoch: i, Root: "r"}))
	}
	taken := 0
	for i, r := range b.batch(bodies...) {
		switch code := b.code(r.Err); {
		case code == "" && taken == i:
			taken++
		case code != wire.CodeThrottled && code != wire.CodeOverloaded:
			t.Errorf("record %d: %q after %d were taken", i, code, taken)
		}
	}
	if taken < 1 || taken == len(bodies) {
		t.Errorf("%d of %d were taken", taken, len(bodies))
	}
}

// broken is a log that fails.
type broken struct {
	intake.Log
	err   error
	calls int
}

func (l *broken) Submit(context.Context, ...event.Event) ([]projections.Result, propose.LogPosition, error) {
	l.calls++
	return nil, propose.LogPosition{}, l.err
}

// TestLogFails: when the log takes nothing, the records of the group say so, and the rest of the batch is not tried.
func TestLogFails(t *testing.T) {
	l := &broken{err: wire.NewProblem(wire.CodeOutcomeUnknown, "")}
	b := newBench(t, func(o *intake.Options) {
		l.Log = o.Log
		o.Log = l
	})
	batch, err := b.Batch(here)
	if err != nil {
		t.Fatal(err)
	}
	kinds := b.kinds()
	got := batch.Submit(t.Context(), [][]byte{kinds["accepted"], []byte("{"), kinds["escalated"]})
	if codes := b.codes(got); codes != "outcome_unknown malformed outcome_unknown" {
		t.Error(codes)
	}
	got = batch.Submit(t.Context(), [][]byte{kinds["accepted"], []byte("{")})
	if codes := b.codes(got); codes != "overloaded overloaded" || l.calls != 1 {
		t.Errorf("%s in %d calls", codes, l.calls)
	}
	var p *wire.Problem
	if !errors.As(got[0].Err, &p) || p.RetryAfterMS == 0 {
		t.Errorf("%+v", p)
	}
}

// TestStoppedBatch: a node that takes nothing refuses a batch as a whole, and one that stops in the middle of a batch
// refuses the rest, also when it takes records again.
func TestStoppedBatch(t *testing.T) {
	stops := false
	b := newBench(t, func(o *intake.Options) { o.Stopping = func() bool { return stops } })
	batch, err := b.Batch(here)
	if err != nil {
		t.Fatal(err)
	}
	kinds := b.kinds()
	if got := batch.Submit(t.Context(), [][]byte{kinds["accepted"]}); b.codes(got) != "ok" {
		t.Error(b.codes(got))
	}
	stops = true
	if _, err := b.Batch(here); b.code(err) != wire.CodeShuttingDown {
		t.Error(err)
	}
	if got := batch.Submit(t.Context(), [][]byte{kinds["escalated"], kinds["conflict"]}); b.codes(got) != "shutting_down shutting_down" {
		t.Error(b.codes(got))
	}
	stops = false
	if got := batch.Submit(t.Context(), [][]byte{kinds["conflict"]}); b.codes(got) != "overloaded" {
		t.Error(b.codes(got))
	}
}

// TestBatchesWait: batches above the bound wait for their turn while single submissions pass.
func TestBatchesWait(t *testing.T) {
	block, begun := make(chan struct{}), make(chan struct{}, 100)
	b := newBench(t, func(o *intake.Options) {
		o.CheckOwn = func(_ context.Context, e event.Event) error {
			if sub, err := event.DecodeSubmission(e.Payload); err == nil && strings.Contains(string(sub.Body), `"shard_id":"slow`) {
				begun <- struct{}{}
				<-block
			}
			return nil
		}
	})
	full := make([][]byte, intake.MaxBatched)
	for i := range full {
		full[i] = []byte("{")
	}
	full[0] = b.sign(nodetest.Record{Shard: "slow", Epoch: 1, Root: "r"})
	done := make(chan string)
	go func() { done <- b.codes(b.batch(full...)[:2]) }()
	<-begun
	if _, code := b.submit(b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}), false); code != "" {
		t.Errorf("a single submission: %q", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	batch, err := b.Batch(here)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.codes(batch.Submit(ctx, [][]byte{b.sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"})})); got != "overloaded" {
		t.Errorf("a batch that finds no space: %s", got)
	}
	close(block)
	if got := <-done; got != "ok malformed" {
		t.Error(got)
	}
	if got := b.codes(b.batch(b.sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r"}))); got != "ok" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestBatchGivesItsShareBack: a key that has once used the queue for consensus can use it again.
func TestBatchGivesItsShareBack(t *testing.T) {
	b := newBench(t, func(o *intake.Options) { o.QueueBytes = 16 << 10 })
	for round := range int64(20) {
		var bodies [][]byte
		for i := range int64(5) {
			bodies = append(bodies, b.sign(nodetest.Record{Shard: "a", Epoch: 5*round + i, Root: "r"}))
		}
		if codes := b.codes(b.batch(bodies...)); codes != "ok ok ok ok ok" {
			t.Fatalf("round %d: %s", round, codes)
		}
	}
}

// TestGroupsFitThePacks: the handlers cut batches as the packer takes them.
func TestGroupsFitThePacks(t *testing.T) {
	if api.GroupRecords != propose.GroupEvents || api.GroupBytes != propose.GroupBytes || intake.MaxBatched < 2*api.GroupRecords {
		t.Errorf("%d records and %d bytes, the packer takes %d and %d", api.GroupRecords, api.GroupBytes, propose.GroupEvents,
			propose.GroupBytes)
	}
}
