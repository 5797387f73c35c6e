package corpus

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

func TestPublishedCorporaLoad(t *testing.T) {
	for _, name := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		lines, err := Load(filepath.Join("../../testdata", name+".ndjson"))
		if err != nil || len(lines) < 100 {
			t.Fatal(name, len(lines), err)
		}
		for _, l := range lines {
			_, err := l.Bytes()
			if err != nil || l.ID == "" || l.Rule == "" || l.Expect == nil || len(l.Expect.Status) == 0 {
				t.Errorf("%s: %+v %v", name, l, err)
			}
		}
	}
	if _, err := Load("corpus_test.go"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		`{"body":"","parts":[{"text":"x"}]}`:                                  "",
		`{"parts":[{"text":"a"},{"b64":"/w==","count":3},{"text":"c"}]}`:      "a\xff\xff\xffc",
		`{"parts":[{"text":"a","count":0},{"text":"b"}]}`:                     "b",
		`{"parts":[{"b64":"!"}]}`:                                             "error",
		`{"parts":[{"text":"a","count":-1}]}`:                                 "error",
		`{"parts":[{"text":"a","count":67108864},{"text":"b","count":1}]}`:    "error",
		`{"parts":[{"text":"a","count":67108863},{"text":"bb"}]}`:             "error",
		`{"parts":[{"text":"aaaaaaaaaaaaaaaa","count":9223372036854775807}]}`: "error",
	} {
		var l Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Bytes(); err != nil && want != "error" || err == nil && string(got) != want {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}

// The expectations of TestCheckerSaysWhatDiffers: of an answer, of its repetition and of a refusal.
var (
	accepted = true
	answered = &Expect{
		Status: []int{200, 202}, Class: "ok", Accepted: &accepted, PCSID: "id", MaxSeconds: 1,
		DHat: []nano.Nano{1_000_000_000, 1_100_000_000}, Budget: []nano.Nano{100, 6},
	}
	repeat  = &Expect{Status: []int{200}, Class: "replay", SameAs: "first"}
	refused = &Expect{Status: []int{401}, Class: "bad_signature"}
)

// fitting returns an answer that fits answered.
func fitting() wire.SubmitAnswer {
	dHat := nano.Nano(1_000_000_000)
	return wire.SubmitAnswer{
		Accepted: true, Outcome: wire.OutcomeAccepted, ReasonCode: "ok", PCSID: "id", Seq: 7,
		RecomputedDHat: &dHat, RecomputedBudget: 5,
	}
}

// answer returns a response whose answer fits, apart from the change.
func answer(change func(a *wire.SubmitAnswer)) Response {
	a := fitting()
	change(&a)
	return Response{ID: "again", Submission: true, Status: 200, Answer: &a}
}

func unchanged(*wire.SubmitAnswer) {}

// TestBytesUpToTheLimit: a body of exactly MaxBody is made.
func TestBytesUpToTheLimit(t *testing.T) {
	count := MaxBody - 1
	l := Line{Parts: []Part{{Text: "a", Count: &count}, {Text: "b"}}}
	if body, err := l.Bytes(); err != nil || len(body) != MaxBody || body[MaxBody-1] != 'b' {
		t.Errorf("%d bytes: %v", len(body), err)
	}
}

// TestCheckerSaysWhatDiffers changes a response that fits, one member at a time.
func TestCheckerSaysWhatDiffers(t *testing.T) {
	good, late, inTime := fitting(), answer(unchanged), answer(unchanged)
	late.Elapsed, inTime.Elapsed = 2*time.Second, time.Second
	dHat := func(n nano.Nano) func(a *wire.SubmitAnswer) {
		return func(a *wire.SubmitAnswer) { a.RecomputedDHat = &n }
	}
	budget := func(n nano.Nano) func(a *wire.SubmitAnswer) {
		return func(a *wire.SubmitAnswer) { a.RecomputedBudget = n }
	}
	for _, c := range []struct {
		x    *Expect
		r    Response
		says string
	}{
		{answered, answer(unchanged), ""},
		{answered, inTime, ""},
		{answered, late, "took 2s"},
		{answered, Response{Submission: true, Status: 202, Answer: &good}, "status 202"},
		{answered, Response{Submission: true, Status: 200}, "not a submit answer"},
		{answered, Response{Status: 200}, ""},
		{answered, answer(func(a *wire.SubmitAnswer) { a.Accepted = false }), "accepted false"},
		{answered, answer(func(a *wire.SubmitAnswer) { a.Escalated = true }), "escalated true"},
		{answered, answer(func(a *wire.SubmitAnswer) { a.PCSID = "other" }), "pcs_id other"},
		{answered, answer(func(a *wire.SubmitAnswer) { a.ReasonCode = "r_bounds" }), "reason_code"},
		{answered, answer(func(a *wire.SubmitAnswer) { a.RecomputedDHat = nil }), "recomputed_D_hat -"},
		{answered, answer(dHat(1_000_000_000 - slack)), ""},
		{answered, answer(dHat(1_000_000_000 - slack - 1)), "recomputed_D_hat 0.999999997"},
		{answered, answer(dHat(1_100_000_000 + slack)), ""},
		{answered, answer(dHat(1_100_000_000 + slack + 1)), "recomputed_D_hat 1.100000003"},
		{answered, answer(budget(9)), "recomputed_budget"},
		{answered, answer(budget(6 + slack)), ""},
		{answered, answer(budget(6 - slack)), ""},
		{answered, answer(budget(6 - slack - 1)), "recomputed_budget"},
		{answered, answer(budget(100 + slack)), ""},
		{repeat, answer(func(a *wire.SubmitAnswer) { a.Replayed = true }), ""},
		{repeat, answer(unchanged), "not marked replayed"},
		{repeat, answer(func(a *wire.SubmitAnswer) { a.Replayed, a.Seq = true, 8 }), "differs from that of first"},
		{refused, problem("bad_signature", "no key"), ""},
		{refused, problem("schema", "no key"), "reason_code"},
		{refused, problem("bad_signature", ""), "without the member error"},
	} {
		var k Checker
		k.Check(answered, Response{ID: "first", Submission: true, Status: 200, Answer: &good})
		diffs := k.Check(c.x, c.r)
		said := strings.Join(diffs, "")
		if len(diffs) > 1 || said == "" != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%+v: %q, want %q", c.r, diffs, c.says)
		}
	}
}

// TestAnyStatus: with AnyStatus every acceptable status will do, and the class belongs to the preferred one only.
func TestAnyStatus(t *testing.T) {
	either := &Expect{Status: []int{200, 202}, Class: "ok"}
	late := &wire.SubmitAnswer{Escalated: true, ReasonCode: "degraded"}
	escalated := Response{Submission: true, Status: 202, Answer: late}
	conflict := &Expect{Status: []int{409, 401}, Class: "conflict"}
	for _, c := range []struct {
		name string
		x    *Expect
		r    Response
		any  bool
		says string
	}{
		{"the second status", either, escalated, true, ""},
		{"only the first", either, escalated, false, "status 202, expected [200 202]"},
		{"none of them", either, Response{Submission: true, Status: 500}, true, "status 500"},
		{"another refusal", conflict, problem("bad_signature", "no key"), true, ""},
		{"no status will do", &Expect{}, escalated, true, "status 202, expected []"},
	} {
		k := Checker{AnyStatus: c.any}
		said := strings.Join(k.Check(c.x, c.r), "; ")
		if said == "" != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", c.name, said, c.says)
		}
	}
}

// TestSameAs: a repetition is compared with the answer that came first. A conflict names that answer without the
// claim of its client.
func TestSameAs(t *testing.T) {
	claimed, other := fitting(), fitting()
	claim := nano.Nano(3)
	claimed.DHat, other.Seq = &claim, 8
	named := claimed
	named.DHat = nil
	conflict := &Expect{Status: []int{409}, Class: "conflict", SameAs: "first"}
	naming := func(a *wire.SubmitAnswer) Response {
		problem := &wire.Problem{ReasonCode: "conflict", Text: "x", First: a}
		return Response{Submission: true, Status: 409, Problem: problem}
	}
	marked := claimed
	marked.Replayed, marked.Reverified, marked.Generation, marked.Reasons = true, true, 3, []string{}
	for _, c := range []struct {
		name string
		x    *Expect
		r    Response
		says string
	}{
		{"the marks of a repetition differ", repeat, Response{Submission: true, Status: 200, Answer: &marked}, ""},
		{"a conflict without the claim", conflict, naming(&named), ""},
		{"a conflict with the claim", conflict, naming(&claimed), "differs from that of first"},
		{"a conflict with another event", conflict, naming(&other), `"seq":8`},
		{"a conflict that names none", conflict, naming(nil), ""},
	} {
		var k Checker
		k.Check(answered, Response{ID: "first", Submission: true, Status: 200, Answer: &claimed})
		said := strings.Join(k.Check(c.x, c.r), "; ")
		if said == "" != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", c.name, said, c.says)
		}
	}
	again := answer(func(a *wire.SubmitAnswer) { a.Replayed = true })
	for _, c := range []struct {
		x *Expect
		r Response
	}{{repeat, again}, {conflict, naming(&named)}} {
		if said := strings.Join(new(Checker).Check(c.x, c.r), "; "); said != "no answer of first to compare with" {
			t.Errorf("%+v without the first: %q", c.r, said)
		}
	}
}

// TestLoadFails: an error names the file, and the line if one was read. A line that is too long is no end of the file.
func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, says string }{
		"bad.ndjson":  {`{"id":"a"}` + "\n{\n", "bad.ndjson line 2: "},
		"type.ndjson": {`{"id":7}`, "type.ndjson line 1: "},
		"long.ndjson": {`{"id":"a"}` + "\n" + `{"id":"` + strings.Repeat("b", 8<<20) + `"}`, "token too long"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func problem(reason, text string) Response {
	return Response{Submission: true, Status: 401, Problem: &wire.Problem{Status: 401, ReasonCode: reason, Text: text}}
}
