package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// keys are those of the ledger, without a hint.
type keys struct{ l *ledgertest.Ledger }

func (k keys) Verifiers() *verify.KeySet { return k.l.Verifiers() }

func (k keys) CheckSignature(keySet *verify.KeySet, rec *pcs.Record) verify.Facts {
	facts, _ := keySet.Find(rec, verify.Facts{})
	return facts
}

func (k keys) MissingSecrets() []string { return nil }

// resends is a log that may report that it has sent a pack twice.
type resends struct {
	*propose.Packer[projections.Result]
	resent bool
}

func (r *resends) Submit(ctx context.Context, events ...event.Event) ([]projections.Result, propose.LogPosition,
	error) {
	results, place, err := r.Packer.Submit(ctx, events...)
	place.Resent = r.resent
	return results, place, err
}

// bench is an intake over a ledger in memory.
type bench struct {
	testing.TB
	*intake.Intake
	ledger  *ledgertest.Ledger
	records *nodetest.Records
	log     *resends
	key     verify.Key

	mu   sync.Mutex
	seen []intake.Seen
}

func newBench(t testing.TB, change ...func(*intake.Options)) *bench {
	t.Helper()
	key, err := verify.NewHMACKey([]byte("the secret of this test"))
	if err != nil {
		t.Fatal(err)
	}
	return newBenchOf(t, []verify.Key{key}, change...)
}

// newBenchOf is newBench with other keys.
func newBenchOf(t testing.TB, keySet []verify.Key, change ...func(*intake.Options)) *bench {
	t.Helper()
	b := &bench{TB: t, ledger: ledgertest.New(t, keySet...), records: nodetest.NewRecords(t), key: keySet[0]}
	b.log = &resends{Packer: b.ledger.Packer}
	o := intake.Options{
		NodeID:         ledgertest.Node,
		RecordRemote:   true,
		QueueBytes:     1 << 20,
		ThrottleStatus: 429,
		State:          b.ledger.State,
		Generations:    b.ledger.Gens,
		Log:            b.log,
		Keys:           keys{b.ledger},
		Clock:          b.ledger,
		Logger:         slog.New(slog.DiscardHandler),
		Stopping:       func() bool { return false },
		CaughtUp:       func() bool { return true },
		DiskShort:      func() bool { return false },
		Withheld:       func() *wire.Problem { return nil },
		Confirm:        b.ledger.Confirm,
		CheckOwn:       func(context.Context, event.Event) error { return nil },
		Problem:        func(err error) error { return err },
		Answered: func(seen intake.Seen, _ api.Meta, _ *wire.SubmitAnswer, _ error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, seen)
		},
	}
	for _, f := range change {
		f(&o)
	}
	b.Intake = intake.New(o)
	return b
}

// sign makes a record that the key of the ledger signs, unless it names another one.
func (b *bench) sign(r nodetest.Record) []byte {
	b.Helper()
	if r.Key == "" {
		r.Key = "the secret of this test"
	}
	return b.records.Sign(r)
}

func (b *bench) submit(body []byte, dry bool) (*wire.SubmitAnswer, wire.Code) {
	b.Helper()
	a, err := b.Submit(b.Context(), body, api.Meta{Remote: "192.0.2.1", DryRun: dry})
	return a, b.code(err)
}

// code returns the code of a problem, "" for no error. Any other error fails the test.
func (b *bench) code(err error) wire.Code {
	b.Helper()
	var p *wire.Problem
	if err != nil && !errors.As(err, &p) {
		b.Fatal(err)
	}
	if p == nil {
		return ""
	}
	return p.Code
}

// records of every kind of outcome, by name.
func (b *bench) kinds() map[string][]byte {
	return map[string][]byte{
		"accepted":  b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}),
		"escalated": b.sign(nodetest.Record{Shard: "a", Epoch: 2, Root: "r", Wrong: true}),
		"conflict":  b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Near: true}),
		"forged":    b.sign(nodetest.Record{Shard: "a", Epoch: 3, Root: "r", Forged: true}),
		"unsigned":  b.sign(nodetest.Record{Shard: "a", Epoch: 4, Root: "r", Bare: true}),
		"malformed": []byte("{"),
	}
}

// TestDryRunIsTheSubmission: a dry run gives the answer of the submission that comes after it, apart from what
// names the event. It adds nothing to the log and is not reported.
func TestDryRunIsTheSubmission(t *testing.T) {
	b := newBench(t)
	kinds := b.kinds()
	for _, name := range []string{"accepted", "escalated", "conflict", "forged", "unsigned", "malformed"} {
		for _, time := range []string{"first", "again"} {
			before := b.ledger.Entries()
			dry, dryCode := b.submit(kinds[name], true)
			if b.ledger.Entries() != before {
				t.Errorf("%s, %s time: a dry run is in the log", name, time)
			}
			written, code := b.submit(kinds[name], false)
			if code != dryCode {
				t.Errorf("%s, %s time: %q as a dry run, then %q", name, time, dryCode, code)
			}
			if (dry == nil) != (written == nil) {
				t.Fatalf("%s, %s time: %+v, then %+v", name, time, dry, written)
			}
			if dry == nil {
				continue
			}
			d, r := *dry, *written
			if !d.Replayed {
				d.Seq, d.ReceivedAt = r.Seq, r.ReceivedAt
			}
			if !reflect.DeepEqual(d, r) {
				t.Errorf("%s, %s time:\n%+v, then\n%+v", name, time, d, r)
			}
		}
	}
	if len(b.seen) != 2*len(kinds) {
		t.Errorf("%d submissions were reported, not %d", len(b.seen), 2*len(kinds))
	}
}

// TestRepetitionsLeaveNoEvent: a record that is sent again is answered as the first time, from the fold.
func TestRepetitionsLeaveNoEvent(t *testing.T) {
	b := newBench(t)
	kinds := b.kinds()
	for _, name := range []string{"accepted", "escalated", "conflict"} {
		first, code := b.submit(kinds[name], false)
		before := b.ledger.Entries()
		again, codeAgain := b.submit(kinds[name], false)
		if code != codeAgain || b.ledger.Entries() != before {
			t.Errorf("%s: %q, then %q, in %d entries more", name, code, codeAgain, b.ledger.Entries()-before)
		}
		if first != nil && (again == nil || !again.Replayed || again.Seq != first.Seq || first.Replayed) {
			t.Errorf("%s: %+v, then %+v", name, first, again)
		}
	}
	if got := b.Counters().Repeats.Load(); got != 1 {
		t.Errorf("%d conflicts answered again", got)
	}
	b.ledger.LoseQuorum()
	before := b.ledger.Entries()
	if a, code := b.submit(kinds["accepted"], false); code != "" || !a.Replayed || b.ledger.Entries() == before {
		t.Errorf("without a quorum the fold decides about a repetition: %+v %q", a, code)
	}
}

// TestRefusals: the reasons for which a node takes nothing come in their order, before a record is read.
func TestRefusals(t *testing.T) {
	var stopping, behind, short bool
	var withheld *wire.Problem
	b := newBench(t, func(o *intake.Options) {
		o.Stopping = func() bool { return stopping }
		o.CaughtUp = func() bool { return !behind }
		o.DiskShort = func() bool { return short }
		o.Withheld = func() *wire.Problem { return withheld }
	})
	refused := func(why string, want wire.Code) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			if _, code := b.submit([]byte("{"), dry); code != want {
				t.Errorf("%s: %q, not %q", why, code, want)
			}
		}
	}
	refused("nothing", wire.CodeMalformed)
	short = true
	refused("disk space is short", wire.CodeOverloaded)
	behind = true
	refused("it has not caught up", wire.CodeNotReady)
	withheld = wire.NewProblem(wire.CodeClock, "")
	refused("it answers nobody", wire.CodeClock)
	stopping = true
	refused("it stops", wire.CodeShuttingDown)
	if got := b.Counters().Malformed.Load(); got != 1 {
		t.Errorf("%d malformed records were counted: dry runs are none, and what is refused is not read", got)
	}
}

// TestWithheldMeanwhile: a node that answers no client any more when the fold has judged a record does not tell its
// outcome. The record is in the log, and another node tells.
func TestWithheldMeanwhile(t *testing.T) {
	var b *bench
	limit := uint64(math.MaxUint64)
	b = newBench(t, func(o *intake.Options) {
		o.Withheld = func() *wire.Problem {
			if b.ledger.Entries() < limit {
				return nil
			}
			return wire.NewProblem(wire.CodeNotReady, "")
		}
	})
	limit = b.ledger.Entries() + 1
	body := b.sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})
	if a, code := b.submit(body, false); code != wire.CodeOutcomeUnknown || b.ledger.Entries() != limit {
		t.Errorf("%+v %q after %d entries, want %d", a, code, b.ledger.Entries(), limit)
	}
	limit = math.MaxUint64
	if a, code := b.submit(body, false); code != "" || !a.Accepted || !a.Replayed {
		t.Errorf("the same record again: %+v %q", a, code)
	}
}

// TestResentAfterRevocation: of a pack that was sent twice the first copy may be accepted and the second
// refused, because the key was revoked between them. The client is told what stands. What was sent once is
// refused.
func TestResentAfterRevocation(t *testing.T) {
	b := newBench(t)
	body := b.sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"})
	first, code := b.submit(body, false)
	if code != "" {
		t.Fatal(code)
	}
	b.ledger.Add(event.KeyRevoked, &event.KeyRevokedV1{
		KeyId: b.key.ID,
		Since: ledgertest.Start.UnixNano(),
		Op:    &event.OpV1{Actor: "alice", OpId: "k"},
	})
	b.log.resent = true
	again, code := b.submit(body, false)
	if code != "" || again.Seq != first.Seq || !again.Accepted || again.PCSID != first.PCSID {
		t.Errorf("the second copy: %+v %q, the first: %+v", again, code, first)
	}
	other := b.sign(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r"})
	if _, code := b.submit(other, false); code != wire.CodeKeyNotAllowed {
		t.Errorf("a record that never was accepted: %q", code)
	}
	b.log.resent = false
	if _, code := b.submit(body, false); code != wire.CodeKeyNotAllowed {
		t.Errorf("sent once, after the revocation: %q", code)
	}
}

// TestResentUnsigned: the same for a record without a signature, when the policy asks for one between the copies. A
// signature that does not verify makes it another record.
func TestResentUnsigned(t *testing.T) {
	b := newBench(t)
	record := nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r", Bare: true}
	body := b.sign(record)
	b.apply(func(p *verify.Policy) { p.Signature.Required = false })
	first, code := b.submit(body, false)
	if code != "" {
		t.Fatal(code)
	}
	b.apply(func(*verify.Policy) {})
	b.log.resent = true
	again, code := b.submit(body, false)
	if code != "" || again.Seq != first.Seq || !again.Accepted || again.PCSID != first.PCSID {
		t.Errorf("the second copy: %+v %q, the first: %+v", again, code, first)
	}
	record.Bare, record.Forged = false, true
	if _, code := b.submit(b.sign(record), false); code != wire.CodeBadSignature {
		t.Errorf("the same record with a forged signature: %q", code)
	}
	record = nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r", Bare: true}
	if _, code := b.submit(b.sign(record), false); code != wire.CodeBadSignature {
		t.Errorf("a record that never was accepted: %q", code)
	}
	b.log.resent = false
	if _, code := b.submit(body, false); code != wire.CodeBadSignature {
		t.Errorf("sent once, under the policy that asks for a signature: %q", code)
	}
}

// TestReplayEnds: a record is a plain replay for the dedup period only. Near its end the fold decides.
func TestReplayEnds(t *testing.T) {
	b := newBench(t)
	body := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	if _, code := b.submit(body, false); code != "" {
		t.Fatal(code)
	}
	ttl := time.Duration(verify.DefaultPolicy().Params.DedupTTL)
	b.ledger.Advance(ttl - 30*time.Minute)
	before := b.ledger.Entries()
	if a, code := b.submit(body, false); code != "" || b.ledger.Entries() != before+1 {
		t.Errorf("%+v %q, in %d entries", a, code, b.ledger.Entries()-before)
	}
}
