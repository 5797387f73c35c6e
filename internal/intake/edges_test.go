package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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

// apply publishes a policy and lets it judge what comes next.
func (b *bench) apply(change func(*verify.Policy)) {
	b.Helper()
	p := verify.DefaultPolicy()
	change(&p)
	id := p.ID()
	op := func(what string) *event.OpV1 {
		return &event.OpV1{Actor: "alice", OpId: fmt.Sprintf("%s %x", what, id[:4])}
	}
	b.ledger.Add(event.PolicyPublished, &event.PolicyPublishedV1{Policy: p.Canonical(), Source: p.Canonical(),
		Op: op("publish")})
	b.ledger.Add(event.PolicyApplied, &event.PolicyAppliedV1{Policy: id[:], Op: op("apply")})
}

// problem submits a record that must be refused, and returns the problem.
func (b *bench) problem(body []byte, dry bool) *wire.Problem {
	b.Helper()
	a, err := b.Submit(b.Context(), body, api.Meta{Remote: "192.0.2.1", DryRun: dry})
	p := &wire.Problem{}
	if !errors.As(err, &p) {
		b.Fatalf("%+v, %v is no problem", a, err)
	}
	return p
}

// TestUnsigned: a record without a signature is taken once the policy allows it, and the freeze of its shard holds.
func TestUnsigned(t *testing.T) {
	b := newBench(t)
	bare := func(epoch int64) []byte {
		return b.sign(nodetest.Record{Shard: "a", Epoch: epoch, Root: "r", Bare: true})
	}
	if p := b.problem(bare(1), false); p.Code != wire.CodeBadSignature || p.Status != 401 || p.Seq == 0 {
		t.Errorf("while signatures are required: %+v", p)
	}
	b.apply(func(p *verify.Policy) { p.Signature.Required = false })
	before := b.ledger.Entries()
	a, code := b.submit(bare(2), false)
	if code != "" || !a.Accepted || a.DHat == nil || b.ledger.Entries() != before+1 {
		t.Errorf("%+v %q", a, code)
	}
	forged := b.sign(nodetest.Record{Shard: "a", Epoch: 3, Root: "r", Forged: true})
	if p := b.problem(forged, false); p.Code != wire.CodeBadSignature {
		t.Errorf("a forgery where none is required: %+v", p)
	}
	b.ledger.Add(event.Frozen, &event.FrozenV1{Scope: uint32(projections.FreezeShard), Subject: "a",
		Op: &event.OpV1{Actor: "alice", OpId: "f"}})
	frozen := b.ledger.State.Cursor().Seq
	before = b.ledger.Entries()
	p := b.problem(bare(4), false)
	if p.Code != wire.CodeFrozen || p.RetryAfterMS != 30_000 ||
		!strings.Contains(p.Detail, fmt.Sprint("event ", frozen, " froze")) ||
		p.PCSID != (nodetest.Record{Shard: "a", Epoch: 4, Root: "r"}).ID() || b.ledger.Entries() != before {
		t.Errorf("frozen by event %d: %+v", frozen, p)
	}
	if p := b.problem(bare(4), true); p.Code != wire.CodeFrozen || b.Counters().Frozen.Load() != 1 {
		t.Errorf("%d were counted: %+v", b.Counters().Frozen.Load(), p)
	}
	b.ledger.LoseQuorum()
	other := b.sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r", Bare: true})
	if a, code := b.submit(other, false); code != "" || !a.Accepted {
		t.Errorf("nobody need be asked about it: %+v %q", a, code)
	}
}

// TestLateEpoch: a policy that rejects late epochs refuses them with a code of their own, in a dry run as well.
func TestLateEpoch(t *testing.T) {
	b := newBench(t)
	b.apply(func(p *verify.Policy) { p.Epochs.OnRegression = verify.RegressionReject })
	if _, code := b.submit(b.sign(nodetest.Record{Shard: "a", Epoch: 5, Root: "r"}), false); code != "" {
		t.Fatal(code)
	}
	late := nodetest.Record{Shard: "a", Epoch: 4, Root: "r"}
	for _, dry := range []bool{true, false} {
		p := b.problem(b.sign(late), dry)
		if p.Code != wire.CodeEpochRegression || p.Status != 409 || p.Detail == "" || p.PCSID != late.ID() ||
			p.Outcome != "refused" || p.Generation != 1 || len(p.Policy) != 64 || (p.Seq == 0) != dry {
			t.Errorf("dry %v: %+v", dry, p)
		}
	}
	if _, code := b.submit(b.sign(nodetest.Record{Shard: "b", Epoch: 4, Root: "r"}), false); code != "" {
		t.Errorf("another shard: %q", code)
	}
}

// TestConflictNamesTheFirst: a conflict comes with the answer that stands, and a repetition with the event that
// the ledger has of it already.
func TestConflictNamesTheFirst(t *testing.T) {
	b := newBench(t)
	kinds := b.kinds()
	first, _ := b.submit(kinds["accepted"], false)
	b.submit(b.sign(nodetest.Record{Shard: "a", Epoch: 7, Root: "r"}), false)
	p := b.problem(kinds["conflict"], false)
	if p.First == nil || p.First.Seq != first.Seq || !p.First.Accepted || p.First.Generation != 1 ||
		p.Seq != first.Seq+2 ||
		p.Outcome != "conflict" || p.Status != 409 || p.PCSID != first.PCSID || p.Replayed || p.Policy != first.Policy {
		t.Errorf("%+v, first %+v, want %+v", p, p.First, first)
	}
	again := b.problem(kinds["conflict"], false)
	if again.Seq != p.Seq || !again.Replayed || again.First == nil || again.First.Seq != first.Seq ||
		again.First.Generation != 1 ||
		again.Generation != 1 {
		t.Errorf("again: %+v, first %+v", again, again.First)
	}
	replay, code := b.submit(kinds["accepted"], false)
	if code != "" || replay.Seq != first.Seq || !replay.Replayed || replay.Generation != 1 || replay.DHat == nil ||
		*replay.DHat != *first.DHat || replay.ReceivedAt != first.ReceivedAt {
		t.Errorf("a replay: %+v %q", replay, code)
	}
}

// TestWithoutQuorum: what only a quorum can confirm is not answered without one.
func TestWithoutQuorum(t *testing.T) {
	b := newBench(t)
	b.ledger.LoseQuorum()
	bare := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Bare: true})
	for _, dry := range []bool{true, false} {
		_, err := b.Submit(t.Context(), bare, api.Meta{DryRun: dry})
		if p := (*wire.Problem)(nil); dry && !errors.Is(err, propose.ErrNoLeader) ||
			!dry && (!errors.As(err, &p) || p.Code != wire.CodeKeysUnconfirmed || p.RetryAfterMS != 1000) {
			t.Errorf("dry %v: %v", dry, err)
		}
	}
	good := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
	if a, err := b.Submit(t.Context(), good, api.Meta{DryRun: true}); !errors.Is(err, propose.ErrNoLeader) {
		t.Errorf("a dry run: %+v %v", a, err)
	}
}

// late are keys of which a node learns only when it asks the others.
type late struct {
	keys
	known *bool
}

func (l late) Verifiers() *verify.KeySet {
	if *l.known {
		return l.keys.Verifiers()
	}
	return none
}

var none = verify.NewKeySet(nil)

// TestKeyOfAMoment: a key that another node has registered a moment ago counts, because a quorum is asked before a
// record is refused for its signature.
func TestKeyOfAMoment(t *testing.T) {
	known, asked := false, 0
	b := newBench(t, func(o *intake.Options) {
		confirm := o.Confirm
		o.Keys = late{o.Keys.(keys), &known}
		o.Confirm = func(ctx context.Context) error {
			asked++
			known = true
			return confirm(ctx)
		}
	})
	a, code := b.submit(b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}), false)
	if code != "" || !a.Accepted || asked != 1 || b.seen[0].KeyID != b.key.ID {
		t.Errorf("%+v %q, asked %d times", a, code, asked)
	}
}

// blind are keys of a node that lacks a secret.
type blind struct{ keys }

func (blind) MissingSecrets() []string { return []string{"ab"} }

// TestMissingSecret: a node that lacks a secret refuses nobody for a signature.
func TestMissingSecret(t *testing.T) {
	b := newBench(t, func(o *intake.Options) { o.Keys = blind{o.Keys.(keys)} })
	before := b.ledger.Entries()
	forged := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Forged: true})
	if p := b.problem(forged, false); p.Code != wire.CodeKeysUnconfirmed || p.RetryAfterMS != 1000 ||
		b.ledger.Entries() != before {
		t.Errorf("%+v", p)
	}
	if _, code := b.submit(b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}), false); code != "" {
		t.Errorf("a signature that it can check: %q", code)
	}
}

type disputed struct {
	intake.Clock
	p **wire.Problem
}

func (d disputed) Disputed() *wire.Problem { return *d.p }

type switching struct {
	intake.Generations
	on *bool
}

func (s switching) Switching() bool { return *s.on }

// TestTakesNothing: a node whose clock is in doubt, that changes its generation or that has no room takes nothing.
func TestTakesNothing(t *testing.T) {
	var doubt *wire.Problem
	var moving bool
	var own error
	room := 1 << 20
	open := func() *bench {
		return newBench(t, func(o *intake.Options) {
			o.Clock, o.Generations = disputed{o.Clock, &doubt}, switching{o.Generations, &moving}
			o.CheckOwn = func(context.Context, event.Event) error { return own }
			o.QueueBytes = room
		})
	}
	for name, c := range map[string]struct {
		set  func()
		code wire.Code
		text string
	}{
		"a clock in doubt": {func() { doubt = wire.NewProblem(wire.CodeClock, "in doubt").WithRetry(1e9) },
			wire.CodeClock, "in doubt"},
		"another generation":   {func() { moving = true }, wire.CodeNotReady, "switching to another generation"},
		"an event of no room":  {func() { own = errors.New("9 of 8 bytes") }, wire.CodeOverloaded, "9 of 8 bytes"},
		"a queue that is full": {func() { room = 100 }, wire.CodeOverloaded, ""},
	} {
		doubt, moving, own, room = nil, false, nil, 1<<20
		c.set()
		b := open()
		before := b.ledger.Entries()
		for _, dry := range []bool{true, false} {
			p := b.problem(b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"}), dry)
			if p.Code != c.code || !strings.Contains(p.Detail, c.text) || p.RetryAfterMS != 1000 ||
				b.ledger.Entries() != before {
				t.Errorf("%s, dry %v: %+v", name, dry, p)
			}
		}
	}
}

// TestRecordedSubmission: the event has what the node knows of a submission, and the address only where it is
// recorded.
func TestRecordedSubmission(t *testing.T) {
	for _, remote := range []bool{true, false} {
		b := newBench(t, func(o *intake.Options) { o.RecordRemote = remote })
		body := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r"})
		a, err := b.Submit(t.Context(), body, api.Meta{Remote: "192.0.2.7", RequestID: "R-1"})
		if err != nil {
			t.Fatal(err)
		}
		it, err := b.ledger.State.Item(a.Seq)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := event.DecodeSubmission(it.Event.Payload)
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "192.0.2.7"}[remote]
		facts := event.Facts{KeyID: b.key.ID, Alg: uint8(verify.HMACSHA256), Profile: uint8(pcs.F9), Mode: sub.Facts.Mode}
		if sub.Remote != want || sub.RequestID != "R-1" || sub.Node != ledgertest.Node || string(sub.Body) != string(body) ||
			sub.ReceivedAt != ledgertest.Start.UnixNano() || sub.Facts != facts || sub.Salt == [event.SaltSize]byte{} {
			t.Errorf("%+v", sub)
		}
		if len(b.seen) != 1 || b.seen[0].KeyID != b.key.ID || b.seen[0].Rec.PCSID != a.PCSID {
			t.Errorf("reported %+v", b.seen)
		}
	}
}

// TestDryForgeries: a dry run takes nothing of the budget for refusals in the log, and no counter counts it.
func TestDryForgeries(t *testing.T) {
	b := newBench(t)
	forged := func(epoch int64) []byte {
		return b.sign(nodetest.Record{Shard: "a", Epoch: epoch, Root: "r", Forged: true})
	}
	large := append(forged(1), []byte(strings.Repeat(" ", 32<<10))...)
	before := b.ledger.Entries()
	for i := range int64(60) {
		if p := b.problem(forged(i), true); p.Code != wire.CodeBadSignature || p.Seq != 0 {
			t.Fatalf("%+v", p)
		}
	}
	if p := b.problem(large, true); p.Code != wire.CodeBadSignature || p.Outcome != "" {
		t.Errorf("a large one: %+v", p)
	}
	c := b.Counters()
	if b.ledger.Entries() != before || c.Dropped.Load() != 0 || c.DroppedBytes.Load() != 0 || len(b.seen) != 0 {
		t.Errorf("%d dropped, %d entries", c.Dropped.Load(), b.ledger.Entries()-before)
	}
	if p := b.problem(forged(1), false); p.Seq == 0 || p.Outcome != "refused" || b.ledger.Entries() != before+1 {
		t.Errorf("the first that is none: %+v", p)
	}
}

// TestLaggingNode: a node that has not folded yet what another one acknowledged answers neither frozen nor malformed
// by what it knows. It once told a canary that only the freeze stopped it, after a sound policy was applied.
func TestLaggingNode(t *testing.T) {
	for _, dry := range []bool{true, false} {
		var behind func() // folds what this node lacks, once it asks the others
		b := newBench(t, func(o *intake.Options) {
			confirm := o.Confirm
			o.Confirm = func(ctx context.Context) error {
				if f := behind; f != nil {
					behind = nil
					f()
				}
				return confirm(ctx)
			}
		})
		b.apply(func(p *verify.Policy) { p.Signature.Required = false })
		b.ledger.Add(event.Frozen, &event.FrozenV1{Scope: uint32(projections.FreezeShard), Subject: "a",
			Op: &event.OpV1{Actor: "alice", OpId: "f"}})
		bare := b.sign(nodetest.Record{Shard: "a", Epoch: 1, Root: "r", Bare: true})
		if p := b.problem(bare, dry); p.Code != wire.CodeFrozen {
			t.Errorf("dry %v, under a lax policy: %+v", dry, p)
		}
		behind = func() { b.apply(func(*verify.Policy) {}) }
		if p := b.problem(bare, dry); p.Code != wire.CodeBadSignature {
			t.Errorf("dry %v, behind a sound policy: %+v", dry, p)
		}
		other := b.sign(nodetest.Record{Shard: "b", Epoch: 1, Root: "r", Bare: true})
		other = bytes.Replace(other, []byte(`"`+pcs.DefaultVersion+`"`), []byte(`"0.9"`), 1)
		if p := b.problem(other, dry); p.Code != wire.CodeSchema {
			t.Errorf("dry %v, a version that no policy takes: %+v", dry, p)
		}
		behind = func() {
			b.apply(func(p *verify.Policy) { p.Signature.Required, p.Versions = false, []string{"0.9"} })
		}
		if a, code := b.submit(other, dry); code != "" || !a.Accepted {
			t.Errorf("dry %v, a version that another node has allowed: %+v %q", dry, a, code)
		}
	}
}
