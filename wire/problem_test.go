package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/nano"
)

// TestCodes: the status and the reason code of every code. Clients depend on both, so neither changes.
func TestCodes(t *testing.T) {
	want := map[Code]struct {
		status int
		reason string
	}{
		CodeMalformed: {400, "malformed"}, CodeSchema: {400, "schema"}, CodeIDMismatch: {400, "id_mismatch"},
		CodeBadSignature: {401, "bad_signature"}, CodeKeyNotAllowed: {403, "key_not_allowed"},
		CodeConflict: {409, "conflict"}, CodeEpochRegression: {409, "epoch_regression"}, CodeRefused: {403, "refused"},
		CodeTooLarge: {413, "too_large"}, CodeMediaType: {415, "http"}, CodeEncoding: {415, "http"},
		CodeThrottled: {429, "throttled"}, CodeFrozen: {503, "frozen"}, CodeNoLeader: {503, "no_leader"},
		CodeClock: {503, "clock"}, CodeOverloaded: {503, "overloaded"}, CodeKeysUnconfirmed: {503, "keys_unconfirmed"},
		CodeOutcomeUnknown: {504, "outcome_unknown"}, CodeNotReady: {503, "not_ready"},
		CodeShuttingDown: {503, "shutting_down"}, CodeBehind: {503, "behind"}, CodeBadRequest: {400, "http"},
		CodeTimeout: {408, "http"}, CodeUnauthorized: {401, "http"}, CodeForbidden: {403, "http"},
		CodeMisdirected: {421, "http"}, CodeNotFound: {404, "not_found"}, CodeMethod: {405, "http"},
		CodeNotAcceptable: {406, "http"}, CodeReplaced: {410, "http"}, CodeBadPolicy: {422, "http"},
		CodeStale: {409, "http"}, CodeOpIDReused: {409, "http"}, CodeApprovalNeeded: {409, "http"}, CodeNoAgreement: {503, "http"},
		CodeFarBehind: {409, "http"}, CodeDiskFull: {507, "http"}, CodeInternal: {500, "http"},
	}
	if got := Codes(); len(got) != len(want) {
		t.Errorf("%d codes, %d are known here", len(got), len(want))
	}
	for code, w := range want {
		info := code.Info()
		if info.Code != code || info.Status != w.status || info.ReasonCode != w.reason {
			t.Errorf("%s: %d %q, want %d %q", code, info.Status, info.ReasonCode, w.status, w.reason)
		}
		if strings.Contains(code.Slug(), "_") || strings.ReplaceAll(code.Slug(), "-", "_") != string(code) {
			t.Errorf("%s has the slug %s", code, code.Slug())
		}
		if http.StatusText(info.Status) == "" || !strings.HasSuffix(info.About, ".") || strings.HasSuffix(info.Title, ".") {
			t.Errorf("%s: %+v", code, info)
		}
	}
	list := Codes()
	list[0].Title = "changed"
	if Codes()[0].Title == "changed" {
		t.Error("a caller changed the descriptions of all")
	}
	if got := Code("of another release").Info(); got.Code != CodeInternal {
		t.Errorf("an unknown code: %+v", got)
	}
}

// TestWhatMayBeSentAgain: the page of a code that a repetition can help asks for it, and that of a final one does not.
func TestWhatMayBeSentAgain(t *testing.T) {
	for _, info := range Codes() {
		keep := strings.Contains(info.About, "Keep the record")
		again := strings.Contains(strings.ToLower(info.About), "send the same record again")
		submission := info.ReasonCode != "http" || info.Code == CodeMediaType || info.Code == CodeEncoding ||
			info.Code == CodeTimeout || info.Code == CodeInternal
		if !submission || info.Code == CodeNotFound || info.Code == CodeBehind {
			continue
		}
		repeats := info.Status == 429 || info.Status == 408 || info.Status >= 500
		if again != repeats || keep == repeats {
			t.Errorf("%s, status %d: sends again %v, keeps %v", info.Code, info.Status, again, keep)
		}
	}
}

// TestStatusOf: the status of a submission, from its outcome and its first reason. A reason that a policy made up
// is a refusal.
func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		outcome, reason string
		want            int
	}{
		{OutcomeAccepted, ReasonOK, 200},
		{OutcomeAccepted, string(CodeBadSignature), 200},
		{OutcomeEscalated, "d_hat_mismatch", 202},
		{OutcomeConflict, string(CodeConflict), 409},
		{OutcomeConflict, "", 409},
		{OutcomeRefused, string(CodeMalformed), 400},
		{OutcomeRefused, string(CodeBadSignature), 401},
		{OutcomeRefused, string(CodeKeyNotAllowed), 403},
		{OutcomeRefused, string(CodeEpochRegression), 409},
		{OutcomeRefused, string(CodeFrozen), 503},
		{OutcomeRefused, "too_much_oxygen", 403},
		{OutcomeRefused, "", 403},
		{"", "", 403},
	} {
		if got := StatusOf(c.outcome, c.reason); got != c.want {
			t.Errorf("%q because of %q: %d, want %d", c.outcome, c.reason, got, c.want)
		}
	}
}

// TestOutcomeLabel: the outcome of every code in metrics and audit lines, with and without one of the ledger.
func TestOutcomeLabel(t *testing.T) {
	labels := []string{OutcomeAccepted, OutcomeEscalated, OutcomeRefused, OutcomeConflict, LabelUnavailable, LabelUnknown,
		LabelError}
	for _, info := range Codes() {
		p := NewProblem(info.Code, "")
		got, want := p.OutcomeLabel(), OutcomeRefused
		switch {
		case info.Code == CodeConflict:
			want = OutcomeConflict
		case info.Status == 503:
			want = LabelUnavailable
		case info.Status == 504:
			want = LabelUnknown
		case info.Status >= 500:
			want = LabelError
		}
		if got != want || !slices.Contains(labels, got) {
			t.Errorf("%s: %s, want %s", info.Code, got, want)
		}
		p.Outcome = OutcomeConflict
		if got := p.OutcomeLabel(); got != OutcomeConflict {
			t.Errorf("%s, and the ledger decided conflict: %s", info.Code, got)
		}
	}
}

// TestProblemParts: what the builders add, and that they add it to the problem that they are called on.
func TestProblemParts(t *testing.T) {
	first := SubmitAnswer{Accepted: true, Seq: 4, RecomputedDHat: nano.Ptr(2_000_000_001), RecomputedBudget: 5}
	p := NewProblem(CodeConflict, "other values").WithField("D_hat").WithReason("conflict", "conflict", "late").
		WithPCS("ab").WithFirst(first).WithRetry(1500 * time.Millisecond)
	if p.Field != "D_hat" || p.ReasonCode != "conflict" || !slices.Equal(p.Reasons, []string{"conflict", "late"}) ||
		p.PCSID != "ab" || p.First == nil || p.First.Seq != 4 || *p.RecomputedDHat != 2_000_000_001 ||
		*p.RecomputedBudget != 5 || p.RetryAfterMS != 1500 {
		t.Errorf("%+v", p)
	}
	first.Seq = 9
	if p.First.Seq != 4 {
		t.Error("the first outcome is shared with the caller")
	}
	var failure error = p
	if failure.Error() != "conflict: other values" || p.Text != "other values" {
		t.Errorf("%v, %q", failure, p.Text)
	}
	var as *Problem
	if !errors.As(failure, &as) || as != p {
		t.Error("it is no problem any more")
	}
	if p := NewProblem("of another release", ""); p.Code != CodeInternal || p.Type != "/problems/internal" {
		t.Errorf("%+v", p)
	}
}

// TestRetryAfterSeconds: the header has whole seconds and never asks for less than the problem does.
func TestRetryAfterSeconds(t *testing.T) {
	for after, want := range map[time.Duration]struct{ ms, seconds int64 }{
		0: {1, 1}, time.Microsecond: {1, 1}, time.Millisecond: {1, 1}, 999 * time.Millisecond: {999, 1},
		time.Second: {1000, 1}, 1001 * time.Millisecond: {1001, 2}, time.Hour: {3_600_000, 3600}, -time.Second: {1, 1},
	} {
		p := NewProblem(CodeOverloaded, "").WithRetry(after)
		if p.RetryAfterMS != want.ms || p.RetryAfterSeconds() != want.seconds {
			t.Errorf("%s: %d ms, %d s", after, p.RetryAfterMS, p.RetryAfterSeconds())
		}
	}
	if got := NewProblem(CodeOverloaded, "").RetryAfterSeconds(); got != 0 {
		t.Errorf("without one: %d", got)
	}
}

// TestProblemAsJSON: the members that clients of the predecessor read are always there, and the others only when
// they say something.
func TestProblemAsJSON(t *testing.T) {
	for _, c := range []struct {
		p    *Problem
		want string
	}{
		{NewProblem(CodeNotFound, ""), `{"type":"/problems/not-found","title":"Not found","status":404,` +
			`"detail":"Not found","error":"Not found","code":"not_found","reason_code":"not_found","accepted":false,` +
			`"escalated":false}`},
		{NewProblem(CodeThrottled, "key k").WithRetry(time.Second).WithField("sig"), `{"type":"/problems/throttled",` +
			`"title":"Too many submissions","status":429,"detail":"key k","error":"key k","code":"throttled",` +
			`"reason_code":"throttled","field":"sig","retry_after_ms":1000,"accepted":false,"escalated":false}`},
	} {
		got, err := json.Marshal(c.p)
		if err != nil || string(got) != c.want {
			t.Errorf("%s %v\nwant %s", got, err, c.want)
		}
		var back Problem
		if err := json.Unmarshal(got, &back); err != nil || back.Error() != c.p.Error() || back.Status != c.p.Status {
			t.Errorf("%+v %v", back, err)
		}
	}
}
