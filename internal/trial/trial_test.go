package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/sample"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// unsignedPolicy accepts records without a signature.
func unsignedPolicy() verify.Policy {
	p := verify.DefaultPolicy()
	p.Signature.Required = false
	return p
}

// TestEscalatedRecordsCount: a record that is escalated before and after changes when it counts only once.
func TestEscalatedRecordsCount(t *testing.T) {
	trial := New(verify.DefaultPolicy())
	for _, before := range []standing{{"escalated", true}, {"escalated", false}, {"accepted", true}} {
		v := verify.Verdict{Outcome: verify.Escalated}
		if err := trial.add(1, &pcs.Record{}, verify.Facts{}, before, v); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{"escalated, counts->escalated, does not count": 1, "accepted->escalated": 1}
	if !maps.Equal(trial.Changes, want) || trial.Records != 3 {
		t.Errorf("%+v", trial.Sums)
	}
}

// TestRecord: a record of a file is compared with the default policy, its signature checked or taken as valid.
func TestRecord(t *testing.T) {
	const secret = "trial: a secret of the tests"
	records, err := sample.New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	signed, errSigned := records.Signed("s", 1)
	bare, errBare := records.Unsigned("s", 2)
	key, errKey := verify.NewHMACKey([]byte(secret))
	if err := errors.Join(errSigned, errBare, errKey); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keySet   *verify.KeySet
		how      string
		changes  string
		verified int
	}{
		"checked":     {verify.NewKeySet([]verify.Key{key}), SignaturesChecked, "refused->accepted: 1", 1},
		"without key": {verify.NewKeySet(nil), SignaturesChecked, "refused->accepted: 1", 0},
		"assumed":     {nil, SignaturesAssumed, "refused->accepted: 1", 0},
	} {
		var changes []Change
		trial := New(unsignedPolicy())
		trial.Keys = c.keySet
		trial.Changed = func(c Change) error { changes = append(changes, c); return nil }
		if err := errors.Join(trial.Record(signed), trial.Record(bare)); err != nil {
			t.Fatal(err)
		}
		if trial.Text() != c.changes || trial.Signatures != c.how || trial.Verified != c.verified ||
			trial.Records != 2 || len(changes) != trial.Admitted.All || trial.Admitted.Unsigned != 1 {
			t.Errorf("%s: %+v, %+v, %+v", name, trial.Sums, trial.Admitted, changes)
		}
	}
	full := errors.New("full")
	trial := New(unsignedPolicy())
	trial.Changed = func(Change) error { return full }
	if err := trial.Record(bare); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// ledgerInMemory is a Source with some submissions, in pages of two.
type ledgerInMemory struct {
	items  []wire.AuditItem
	bodies map[uint64][]byte
	policy verify.Policy // that judged
	asked  int           // for policies
	cut    uint64        // the event that does not come
	fails  error         // instead of the second page
}

func (l *ledgerInMemory) AuditPages(_ context.Context, q client.AuditQuery) iter.Seq2[*wire.AuditPage, error] {
	return func(yield func(*wire.AuditPage, error) bool) {
		for i := range slices.Chunk(l.items[:min(q.Limit, len(l.items))], 2) {
			if l.fails != nil && i[0].Seq != l.items[0].Seq {
				yield(nil, l.fails)
				return
			}
			if !yield(&wire.AuditPage{Items: i}, nil) {
				return
			}
		}
	}
}

func (l *ledgerInMemory) EventsPage(_ context.Context, q client.EventsQuery) ([]wire.EventAnswer, uint64, error) {
	var events []wire.EventAnswer
	for seq := q.From; seq <= q.To; seq++ {
		if seq != l.cut && l.bodies[seq] != nil {
			sub := event.Sub{Body: l.bodies[seq]}
			events = append(events, wire.EventAnswer{Seq: seq, LogTime: "2026-01-02T03:04:05Z", Payload: sub.Payload()})
		}
	}
	return events, 0, nil
}

func (l *ledgerInMemory) Policy(context.Context, string) (*wire.PolicyAnswer, error) {
	l.asked++
	var canonical map[string]any
	err := json.Unmarshal(l.policy.Canonical(), &canonical)
	return &wire.PolicyAnswer{Canonical: canonical}, err
}

func newLedger(t *testing.T) *ledgerInMemory {
	t.Helper()
	records, err := sample.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledgerInMemory{bodies: map[uint64][]byte{}, policy: verify.DefaultPolicy()}
	for i, reason := range []verify.Reason{verify.ReasonBadSignature, verify.ReasonKeyRevoked, verify.ReasonConflict,
		verify.ReasonEpochRegression, verify.ReasonBadSignature} {
		seq := uint64(10 * (i + 1))
		if l.bodies[seq], err = records.Unsigned("s", int64(seq)); err != nil {
			t.Fatal(err)
		}
		l.items = append(l.items, wire.AuditItem{Seq: seq, Outcome: wire.OutcomeRefused, ReasonCode: reason.String()})
	}
	return l
}

// TestLedger: keys leave a submission out, and one that others decided is judged again under the policy of its time.
func TestLedger(t *testing.T) {
	l := newLedger(t)
	trial, done := New(unsignedPolicy()), 0
	trial.Judged = func(n int) { done += n }
	if err := trial.Ledger(t.Context(), l, client.AuditQuery{}, 100); err != nil {
		t.Fatal(err)
	}
	want := "Of the last 5 submissions 4 would change: refused->accepted 4 (4 unsigned); keys or freezes decided 1."
	if trial.Summary() != want || done != 5 || l.asked != 1 || trial.Signatures != SignaturesRecorded {
		t.Errorf("%s %+v, %d done, policy asked for %d times", trial.Summary(), trial.Sums, done, l.asked)
	}
	l.policy = unsignedPolicy() // so the two that others decided do not change
	trial = New(unsignedPolicy())
	if err := trial.Ledger(t.Context(), l, client.AuditQuery{}, 3); err != nil {
		t.Fatal(err)
	}
	if trial.Summary() != "Of the last 3 submissions 1 would change: refused->accepted 1 (1 unsigned); "+
		"keys or freezes decided 1." {
		t.Error(trial.Summary())
	}
}

// TestLedgerFails: a page that fails, an event that does not come and a context that ends are errors, not the end.
func TestLedgerFails(t *testing.T) {
	l := newLedger(t)
	l.fails = errors.New("gone")
	if err := New(unsignedPolicy()).Ledger(t.Context(), l, client.AuditQuery{}, 100); !errors.Is(err, l.fails) {
		t.Errorf("%v", err)
	}
	l = newLedger(t)
	l.cut = 50
	err := New(unsignedPolicy()).Ledger(t.Context(), l, client.AuditQuery{}, 100)
	if err == nil || !strings.Contains(err.Error(), "has not given 1 of their events") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	trial := New(unsignedPolicy())
	trial.Judged = func(int) { cancel() }
	if err := trial.Ledger(ctx, newLedger(t), client.AuditQuery{}, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSummary(t *testing.T) {
	for want, trial := range map[string]*Trial{
		"The ledger holds no submission yet on which the policy could be tried.": New(unsignedPolicy()),
		"Of the last 1 submission none would change.":                            {Sums: Sums{Records: 1}},
	} {
		if got := trial.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	all := fmt.Sprint(Admitted{All: 3, Unsigned: 1, Unverified: 2})
	if all != " (1 unsigned, 2 with a signature that no key verifies)" {
		t.Error(all)
	}
}
