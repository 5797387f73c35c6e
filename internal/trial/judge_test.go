package trial

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestAssumedFacts: without a ring the facts are those of a signature that the policy accepts, of the algorithm and
// scheme that the record shows.
func TestAssumedFacts(t *testing.T) {
	hmac := base64.StdEncoding.EncodeToString(make([]byte, 32))
	ed25519 := base64.StdEncoding.EncodeToString(make([]byte, 64))
	facts := func(alg verify.Alg, profile pcs.Profile, mode verify.Mode) verify.Facts {
		return verify.Facts{KeyID: "not-checked", Alg: alg, Profile: profile, Mode: mode}
	}
	bin := verify.DefaultPolicy()
	bin.Signature.Profiles = pcs.ProfilesOf(pcs.Bin)
	for _, c := range []struct {
		name, sig string
		scheme    pcs.Scheme
		policy    verify.Policy
		want      verify.Facts
	}{
		{"none", "", 0, verify.DefaultPolicy(), verify.Facts{}},
		{"hmac", hmac, 0, verify.DefaultPolicy(), facts(verify.HMACSHA256, pcs.F9, verify.Raw)},
		{"no base64", "!", 0, verify.DefaultPolicy(), facts(verify.HMACSHA256, pcs.F9, verify.Raw)},
		{"ed25519", ed25519, 0, verify.DefaultPolicy(), facts(verify.Ed25519, pcs.F9, verify.SHA256)},
		{"hmac over binary", hmac, 0, bin, facts(verify.HMACSHA256, pcs.Bin, verify.SHA256)},
		{"pcs/2", hmac, pcs.PCS2, bin, facts(verify.HMACSHA256, pcs.F9, verify.Whole)},
		{"pcs/2 ed25519", ed25519, pcs.PCS2, bin, facts(verify.Ed25519, pcs.F9, verify.Whole)},
	} {
		rec := &pcs.Record{Sig: c.sig, HasSig: c.sig != "", Scheme: c.scheme}
		if got := New(c.policy).facts(rec, c.policy); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestAdmitted: of the records that a policy newly accepts, those without a signature and those that no key verifies
// are counted apart. A record that only ceases to be escalated is none of them.
func TestAdmitted(t *testing.T) {
	valid := verify.Facts{KeyID: "k", Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw}
	accepted := verify.Verdict{Outcome: verify.Accepted, Accepted: true}
	refused := standing{wire.OutcomeRefused, false}
	for _, c := range []struct {
		name   string
		before standing
		after  verify.Verdict
		sig    string
		facts  verify.Facts
		want   Admitted
	}{
		{"verified", refused, accepted, "s", valid, Admitted{All: 1}},
		{"unsigned", refused, accepted, "", verify.Facts{}, Admitted{All: 1, Unsigned: 1}},
		{"unverified", refused, accepted, "s", verify.Facts{}, Admitted{All: 1, Unverified: 1}},
		{"escalated before", standing{wire.OutcomeEscalated, true}, accepted, "", verify.Facts{}, Admitted{}},
		{"only escalated", refused, verify.Verdict{Outcome: verify.Escalated}, "", verify.Facts{}, Admitted{}},
		{"unchanged", standingOf(accepted), accepted, "", verify.Facts{}, Admitted{}},
	} {
		trial := New(verify.DefaultPolicy())
		err := trial.add(1, &pcs.Record{Sig: c.sig}, c.facts, c.before, c.after)
		if err != nil || trial.Admitted != c.want {
			t.Errorf("%s: %+v, want %+v: %v", c.name, trial.Admitted, c.want, err)
		}
	}
}

// TestChangeNamesItsReason: a change carries the reason of the verdict after, and a policy's own code for its rule.
func TestChangeNamesItsReason(t *testing.T) {
	for want, v := range map[string]verify.Verdict{
		"bad_signature": {Outcome: verify.Refused, Reason: verify.ReasonBadSignature},
		"too_hot":       {Outcome: verify.Refused, Reason: verify.ReasonRule, RuleReason: "too_hot"},
	} {
		var got Change
		trial := New(verify.DefaultPolicy())
		trial.Changed = func(c Change) error { got = c; return nil }
		rec := &pcs.Record{PCSID: "id", ShardID: "s"}
		if err := trial.add(9, rec, verify.Facts{}, standing{wire.OutcomeAccepted, true}, v); err != nil {
			t.Fatal(err)
		}
		if got != (Change{9, "id", "s", "accepted", "refused", want}) {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

// inPages answers events one at a time, and remembers each question.
type inPages struct {
	*ledgerInMemory
	asked []client.EventsQuery
}

func (l *inPages) EventsPage(ctx context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	l.asked = append(l.asked, q)
	events, _, err := l.ledgerInMemory.EventsPage(ctx, q)
	if len(events) <= 1 {
		return events, 0, err
	}
	return events[:1], events[1].Seq, err
}

// TestEventsInPages: events that come in several answers are all judged. Each question asks a node that has the last
// event, and nothing is asked for submissions that keys decided.
func TestEventsInPages(t *testing.T) {
	l := &inPages{ledgerInMemory: newLedger(t)}
	trial := New(unsignedPolicy())
	l.items = []wire.AuditItem{l.items[4], l.items[1], l.items[0]} // newest first; the second is left out
	if err := trial.Ledger(t.Context(), l, client.AuditQuery{}, 100); err != nil {
		t.Fatal(err)
	}
	if trial.Records != 2 || trial.Tried() != 3 || trial.Admitted.Unsigned != 2 {
		t.Errorf("%+v %+v", trial.Sums, trial.Admitted)
	}
	for _, q := range l.asked {
		if q.MinSeq != q.To || q.From > q.To {
			t.Errorf("asked for %d to %d at event %d", q.From, q.To, q.MinSeq)
		}
	}
	l.asked, l.items = nil, []wire.AuditItem{{Seq: 20, ReasonCode: "key_revoked"}, {Seq: 30, ReasonCode: "frozen"},
		{Seq: 40, ReasonCode: "key_not_allowed"}}
	trial = New(unsignedPolicy())
	if err := trial.Ledger(t.Context(), l, client.AuditQuery{}, 100); err != nil {
		t.Fatal(err)
	}
	if len(l.asked) != 0 || trial.Changes[LeftOut] != 3 || trial.Records != 0 {
		t.Errorf("%d questions, %+v", len(l.asked), trial.Sums)
	}
}

// odd is a ledger whose events or policies are changed before they are answered.
type odd struct {
	*ledgerInMemory
	event  func(*wire.EventAnswer)
	policy func() (*wire.PolicyAnswer, error)
}

func (l *odd) EventsPage(ctx context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	events, next, err := l.ledgerInMemory.EventsPage(ctx, q)
	for i := range events {
		if l.event != nil {
			l.event(&events[i])
		}
	}
	return events, next, err
}

func (l *odd) Policy(ctx context.Context, id string) (*wire.PolicyAnswer, error) {
	if l.policy != nil {
		return l.policy()
	}
	return l.ledgerInMemory.Policy(ctx, id)
}

// TestUnreadableEvents: an event or a policy that cannot be read is an error with the number of the event.
func TestUnreadableEvents(t *testing.T) {
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		l    odd
		says string
	}{
		"payload":  {odd{event: func(e *wire.EventAnswer) { e.Payload = e.Payload[:event.SaltSize-1] }}, "event 10: "},
		"log time": {odd{event: func(e *wire.EventAnswer) { e.LogTime = "yesterday" }}, "event 10: "},
		"policy": {odd{policy: func() (*wire.PolicyAnswer, error) {
			return &wire.PolicyAnswer{Canonical: map[string]any{"kernel": 99}}, nil
		}}, "event 30: "},
		"no policy": {odd{policy: func() (*wire.PolicyAnswer, error) { return nil, gone }}, "event 30: gone"},
	} {
		c.l.ledgerInMemory = newLedger(t)
		err := New(unsignedPolicy()).Ledger(t.Context(), &c.l, client.AuditQuery{}, 100)
		if err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// silent answers nothing until the context ends.
type silent struct {
	*ledgerInMemory
	policies bool // only for policies
}

func (l *silent) EventsPage(ctx context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	if l.policies {
		return l.ledgerInMemory.EventsPage(ctx, q)
	}
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func (l *silent) Policy(ctx context.Context, _ string) (*wire.PolicyAnswer, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestPageTimeout: a node that does not answer ends a trial after the time for one request. Without such a time the
// context bounds it.
func TestPageTimeout(t *testing.T) {
	for _, policies := range []bool{false, true} {
		for _, timeout := range []time.Duration{time.Minute, 0} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began, l := time.Now(), &silent{newLedger(t), policies}
				err := New(unsignedPolicy()).Ledger(ctx, l, client.AuditQuery{PageTimeout: timeout}, 100)
				want := timeout
				if timeout == 0 {
					want = time.Hour
				}
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != want {
					t.Errorf("policies %v, timeout %v: %v after %v", policies, timeout, err, took)
				}
			})
		}
	}
}

// TestTexts: counts in words, with what no policy decides apart from the changes.
func TestTexts(t *testing.T) {
	sums := Sums{Records: 5, Changes: map[string]int{"b->c": 1, "a->b": 2, LeftOut: 3}}
	if got := sums.Text(); got != "(left out: decided by keys or freezes): 3, a->b: 2, b->c: 1" {
		t.Error(got)
	}
	if got := (Sums{}).Text(); got != "nothing changes" {
		t.Error(got)
	}
	if got := (&Trial{Sums: sums}).Summary(); got != "Of the last 8 submissions 3 would change: a->b 2, b->c 1; "+
		"keys or freezes decided 3." {
		t.Error(got)
	}
	left := &Trial{Sums: Sums{Changes: map[string]int{LeftOut: 2}}}
	if got := left.Summary(); got != "Of the last 2 submissions none would change; keys or freezes decided 2." {
		t.Error(got)
	}
	got := (Admitted{All: 4}).String() + (Admitted{Unverified: 1}).String()
	if got != " (1 with a signature that no key verifies)" {
		t.Error(got)
	}
}
