package corpus

import (
	"encoding/json"
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

// TestCheckerSaysWhatDiffers changes a response that fits, one member at a time.
func TestCheckerSaysWhatDiffers(t *testing.T) {
	accepted, dHat := true, nano.Nano(1_000_000_000)
	good := wire.SubmitAnswer{
		Accepted: true, Outcome: wire.OutcomeAccepted, ReasonCode: "ok", PCSID: "id", Seq: 7,
		RecomputedDHat: &dHat, RecomputedBudget: 5,
	}
	x := &Expect{
		Status: []int{200, 202}, Class: "ok", Accepted: &accepted, PCSID: "id", MaxSeconds: 1,
		DHat: []nano.Nano{1_000_000_000, 1_100_000_000}, Budget: []nano.Nano{100, 6},
	}
	repeat := &Expect{Status: []int{200}, Class: "replay", SameAs: "first"}
	refused := &Expect{Status: []int{401}, Class: "bad_signature"}
	answer := func(change func(a *wire.SubmitAnswer)) Response {
		a := good
		change(&a)
		return Response{ID: "again", Submission: true, Status: 200, Answer: &a}
	}
	same := func(*wire.SubmitAnswer) {}
	late := answer(same)
	late.Elapsed = 2 * time.Second
	for _, c := range []struct {
		x    *Expect
		r    Response
		says string
	}{
		{x, answer(same), ""},
		{x, late, "took 2s"},
		{x, Response{Submission: true, Status: 202, Answer: &good}, "status 202"},
		{x, Response{Submission: true, Status: 200}, "not a submit answer"},
		{x, Response{Status: 200}, ""},
		{x, answer(func(a *wire.SubmitAnswer) { a.Accepted = false }), "accepted false"},
		{x, answer(func(a *wire.SubmitAnswer) { a.Escalated = true }), "escalated true"},
		{x, answer(func(a *wire.SubmitAnswer) { a.PCSID = "other" }), "pcs_id other"},
		{x, answer(func(a *wire.SubmitAnswer) { a.ReasonCode = "r_bounds" }), "reason_code"},
		{x, answer(func(a *wire.SubmitAnswer) { a.RecomputedDHat = nil }), "recomputed_D_hat -"},
		{x, answer(func(a *wire.SubmitAnswer) { a.RecomputedBudget = 9 }), "recomputed_budget"},
		{repeat, answer(func(a *wire.SubmitAnswer) { a.Replayed = true }), ""},
		{repeat, answer(same), "not marked replayed"},
		{repeat, answer(func(a *wire.SubmitAnswer) { a.Replayed, a.Seq = true, 8 }), "differs from that of first"},
		{refused, problem("bad_signature", "no key"), ""},
		{refused, problem("schema", "no key"), "reason_code"},
		{refused, problem("bad_signature", ""), "without the member error"},
	} {
		var k Checker
		k.Check(x, Response{ID: "first", Submission: true, Status: 200, Answer: &good})
		diffs := k.Check(c.x, c.r)
		said := strings.Join(diffs, "")
		if len(diffs) > 1 || said == "" != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%+v: %q, want %q", c.r, diffs, c.says)
		}
	}
	if diffs := (&Checker{AnyStatus: true}).Check(&Expect{Status: []int{200, 202}, Class: "ok"},
		Response{Submission: true, Status: 202, Answer: &wire.SubmitAnswer{Escalated: true}}); len(diffs) != 0 {
		t.Errorf("an acceptable status: %q", diffs)
	}
	diffs := new(Checker).Check(repeat, answer(same))
	if !strings.Contains(strings.Join(diffs, ""), "no answer of first") {
		t.Errorf("%q", diffs)
	}
}

func problem(reason, text string) Response {
	return Response{Submission: true, Status: 401, Problem: &wire.Problem{Status: 401, ReasonCode: reason, Text: text}}
}
