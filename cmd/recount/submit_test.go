package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

func TestSubmitRecordsAndReplays(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n, newNode(t))
	_, cases := readCorpus(t, "good-hmac.ndjson", 1)
	in := *cases[0].Body + "\r\n\n" + *cases[0].Body // no final line feed
	r := run(t, in, "submit", "-", "--endpoint", n.server.URL, "--dev", dir, "-o", "ndjson")
	if r.code != exitOK || !strings.Contains(r.err, "2 records") {
		t.Fatalf("%+v", r)
	}
	var got []resultLine
	for line := range strings.Lines(r.out) {
		var l resultLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if len(got) != 2 || got[0].Line != 1 || got[1].Line != 3 || got[0].ID != got[0].Answer.PCSID ||
		got[0].Status != 200 || got[0].Answer.Replayed || !got[1].Answer.Replayed {
		t.Errorf("%+v", got)
	}
	r = run(t, in, "submit", "-", "--endpoint", n.server.URL, "--dev", dir, "-q")
	if r.code != exitOK || r.err != "" {
		t.Errorf("%+v", r)
	}
	golden(t, "submit", r.out)
	var s summary
	r = run(t, in+"\n{}\nnonsense", "submit", "-", "--endpoint", n.server.URL, "--dev", dir, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &s); err != nil || r.code != exitUsage ||
		!strings.Contains(r.err, "line 5") || s.Records != 3 || s.Rejected != 1 || s.Replayed != 2 ||
		s.Statuses["400"] != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestSubmitExplainsItsWords: the summary says once what became of the records that do not count, and only of
// those it has.
func TestSubmitExplainsItsWords(t *testing.T) {
	n := newNode(t)
	asked := 0
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			return false
		}
		p := wire.NewProblem(wire.CodeBadSignature, "")
		if asked++; asked == 1 {
			p.Outcome, p.Seq = wire.OutcomeRefused, 7
		}
		answer(w, p)
		return true
	}
	dir := dev(t, n)
	r := run(t, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", "submit", "-", "--dev", dir, "--concurrency", "1")
	for text, times := range map[string]int{
		"refused: the ledger keeps":            1,
		"rejected: turned away before the log": 1,
		"conflict: ":                           0,
	} {
		if strings.Count(r.err, text) != times {
			t.Errorf("%q is not there %d times: %+v", text, times, r)
		}
	}
	if r := run(t, "{\"a\":1}\n{\"a\":2}\n", "submit", "-", "--dev", dir, "-q"); strings.Contains(r.err, "rejected: ") {
		t.Errorf("-q: %+v", r)
	}
}

func TestSubmitKeepsTheOrderOfAShard(t *testing.T) {
	for _, order := range []string{"--in-order=group", "--in-order"} {
		n := newNode(t)
		_, cases := readCorpus(t, "good-hmac.ndjson", 150)
		want := map[string][]string{}
		var all []string
		var in strings.Builder
		for _, c := range cases {
			var rec struct {
				ShardID string `json:"shard_id"`
				Epoch   int64
			}
			if err := json.Unmarshal([]byte(*c.Body), &rec); err != nil {
				t.Fatal(err)
			}
			entry := fmt.Sprintf("%s/%d", rec.ShardID, rec.Epoch)
			want[rec.ShardID], all = append(want[rec.ShardID], entry), append(all, entry)
			in.WriteString(*c.Body + "\n")
		}
		n.override = func(w http.ResponseWriter, r *http.Request) bool { return false }
		r := run(t, in.String(), "submit", "-", "--dev", dev(t, n), "--concurrency", "16", order)
		if r.code != exitOK && r.code != exitRejected { // some records have the other key
			t.Fatalf("%+v", r)
		}
		for shard, entries := range want {
			var got []string
			for _, e := range n.order {
				if strings.HasPrefix(e, shard+"/") {
					got = append(got, e)
				}
			}
			if !isSubsequence(got, entries) {
				t.Errorf("%s %s: %v", order, shard, got)
			}
		}
		if order == "--in-order" && !isSubsequence(n.order, all) {
			t.Errorf("not the order of the file: %v", n.order)
		}
	}
}

func isSubsequence(part, whole []string) bool {
	for _, p := range part {
		i := slices.Index(whole, p)
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return len(part) > 0
}

func TestSubmitStopsWithoutAnAnswer(t *testing.T) {
	n := newNode(t)
	var calls atomic.Int32
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		if calls.Add(1) == 3 {
			answer(w, wire.NewProblem(wire.CodeInternal, "broken"))
			return true
		}
		return false
	}
	in := strings.Repeat("{}\n", 2000)
	r := run(t, in, "submit", "-", "--dev", dev(t, n), "--in-order=file")
	if r.code != exitUnknown || !strings.Contains(r.err, "line 3") || calls.Load() > 10 {
		t.Errorf("%+v after %d", r, calls.Load())
	}
	calls.Store(0)
	r = run(t, strings.Repeat("{}\n", 40), "submit", "-", "--dev", dev(t, n), "--keep-going")
	if r.code != exitUnknown || calls.Load() != 40 {
		t.Errorf("%+v after %d", r, calls.Load())
	}
}

func TestSubmitSendsTheCorpusAsWritten(t *testing.T) {
	n := newNode(t)
	var got []string
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		body := make([]byte, 64)
		k, _ := r.Body.Read(body)
		got = append(got, fmt.Sprintf("%s %s %d %s %q", r.Method, r.URL.Path, r.ContentLength,
			r.Header.Get("Content-Type"), body[:k]))
		answer(w, wire.NewProblem(wire.CodeMalformed, ""))
		return true
	}
	in := `{"id":"a","body":"x\u00e9\n"}
{"id":"b","parts":[{"text":"ab","count":2},{"b64":"/w=="},{"text":"z","count":0}]}
{"id":"c","body":"{}","chunked":true,"headers":{"Content-Type":"text/plain"}}
{"id":"d","body":"","method":"GET","path":"/health"}
{"id":"e","body":""}
{"pcs_id":"1","body":"a record with a member of this name"}
`
	run(t, in, "submit", "-", "--dev", dev(t, n), "--in-order")
	want := []string{
		`POST /v1/pcs/submit 4 application/json "xé\n"`, `POST /v1/pcs/submit 5 application/json "abab\xff"`,
		`POST /v1/pcs/submit -1 text/plain "{}"`, `GET /health 0  ""`,
		`POST /v1/pcs/submit 0 application/json ""`,
		`POST /v1/pcs/submit 59 application/json "{\"pcs_id\":\"1\",\"body\":\"a record with a member of this name\"}"`,
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("%d: %v, want %s", i, got, want[i])
		}
	}
	for _, bad := range []string{`{"id":"x","parts":[{"text":"ab","count":99999999999}]}`,
		`{"id":"x","parts":[{"b64":"?"}]}`} {
		if r := run(t, bad, "submit", "-", "--dev", dev(t, n)); r.code != exitUsage ||
			!strings.Contains(r.err, "line 1") {
			t.Errorf("%+v", r)
		}
	}
}

// caseLine makes a corpus line whose fake answer is known.
func caseLine(t *testing.T, id string, body string, expect map[string]any) string {
	t.Helper()
	line, err := json.Marshal(map[string]any{"id": id, "group": "g", "body": body, "expect": expect})
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestCheck(t *testing.T) {
	_, cases := readCorpus(t, "good-hmac.ndjson", 2)
	body := *cases[1].Body
	good := map[string]any{
		"status":   []int{200},
		"class":    "ok",
		"accepted": true,
		"pcs_id":   someID,
		"d_hat":    []float64{1, 1, 1},
		"budget":   []float64{0.342292998},
	}
	with := func(name string, value any) map[string]any {
		m := map[string]any{name: value}
		for k, v := range good {
			if k != name {
				m[k] = v
			}
		}
		return m
	}
	replay := map[string]any{"status": []int{200}, "class": "replay", "same_as": "first"}
	for name, x := range map[string]struct {
		flag string
		last map[string]any
		body string
		diff string
	}{
		"same":          {"--check", replay, body, ""},
		"refusal":       {"--check", map[string]any{"status": []int{400}, "class": "schema"}, "{}", ""},
		"status":        {"--check", with("status", []int{202}), body, "status 200"},
		"not preferred": {"--check", with("status", []int{202, 200}), body, "status 200"},
		"any acceptable": {"--check=any",
			map[string]any{"status": []int{202, 200}, "class": "replay", "same_as": "first"}, body, ""},
		"class":    {"--check", with("class", "degraded"), body, "reason_code"},
		"accepted": {"--check", with("accepted", false), body, "accepted true"},
		"d_hat":    {"--check", with("d_hat", []float64{1.1, 1.2}), body, "recomputed_D_hat 1,"},
		"budget":   {"--check", with("budget", []float64{0.5}), body, "recomputed_budget"},
		"pcs_id":   {"--check", with("pcs_id", "00"), body, "pcs_id"},
		"no first": {"--check", map[string]any{"status": []int{200}, "class": "replay", "same_as": "other"},
			body, "no answer of other"},
		"slow":          {"--check", with("max_seconds", 1e-9), body, "took"},
		"class refused": {"--check", map[string]any{"status": []int{400}, "class": "too_large"}, "{}", "reason_code"},
	} {
		n := newNode(t)
		in := caseLine(t, "first", body, good) + "\n" + caseLine(t, "last", x.body, x.last)
		r := run(t, in, "submit", "-", "--dev", dev(t, n), x.flag, "-o", "ndjson")
		lines := strings.Split(r.out, "\n")
		var last resultLine
		if err := json.Unmarshal([]byte(lines[1]), &last); err != nil {
			t.Fatalf("%s: %v %+v", name, err, r)
		}
		switch text := strings.Join(last.Differences, "; "); {
		case x.diff == "" && (r.code != exitOK || text != ""):
			t.Errorf("%s: %d %s", name, r.code, text)
		case x.diff != "" && (r.code != exitVerify || !strings.Contains(text, x.diff)):
			t.Errorf("%s: %d %s", name, r.code, text)
		}
	}
}

func TestCheckTellsAChangedAnswer(t *testing.T) {
	n := newNode(t)
	var calls atomic.Uint64
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		a := okAnswer(someID, "s", 1, calls.Add(1))
		a.Replayed = a.Seq > 1
		answer(w, a)
		return true
	}
	in := caseLine(t, "a", "{}", map[string]any{"status": []int{200}, "class": "ok"}) + "\n" +
		caseLine(t, "b", "{}", map[string]any{"status": []int{200}, "class": "replay", "same_as": "a"})
	r := run(t, in, "submit", "-", "--dev", dev(t, n), "--check")
	if r.code != exitVerify || !strings.Contains(r.err, "answer differs from that of a") {
		t.Errorf("%+v", r)
	}
}

func TestWholeCorpusIsReadable(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		answer(w, wire.NewProblem(wire.CodeMalformed, ""))
		return true
	}
	dir := dev(t, n)
	for name, lines := range map[string]int{"good-hmac": 717, "good-ed25519": 299, "bad-input": 146} {
		r := run(t, "", "submit", "--dev", dir, "--check=any", "-o", "json", filepath.Join(corpusDir, name+".ndjson"))
		var s summary
		if err := json.Unmarshal([]byte(r.out), &s); err != nil || s.Records != lines || s.Checked != lines ||
			r.code != exitVerify {
			t.Errorf("%s: %d %v %s", name, r.code, err, r.out)
		}
	}
}

func TestSubmitFlags(t *testing.T) {
	for _, args := range [][]string{{"--concurrency", "0", "-"}, {"--in-order=x", "-"}, {"--check=x", "-"}, {}} {
		if r := run(t, "", append([]string{"submit"}, args...)...); r.code != exitUsage {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
