package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// postTo sends a record to a route and holds the exchange against the contract.
func (r *testServer) postTo(path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", wire.MediaJSON)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return r.do(req)
}

// membersOf decodes an answer without what differs between any two answers.
func membersOf(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	for _, name := range []string{"request_id", "received_at", "retry_after_ms"} {
		delete(m, name)
	}
	return m
}

// TestCheckIsSubmitWithoutALog: for each of these bodies a check gives the answer that a submission gives, with dry_run, without a
// seq of its own, and leaves nothing: neither rows nor submissions in the metrics.
func TestCheckIsSubmitWithoutALog(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.Operations = func(a Operation) { t.Errorf("a check is no operation: %+v", a) } })
	first := record("s", 1, nil)
	r.post(first)
	rows := len(r.fake.rows)
	for what, body := range map[string]string{
		"fresh": record("s", 2, nil), "escalated": record("s", 3, degraded), "replay": first,
		"conflict": record("s", 1, func(m map[string]any) { m["D_hat"] = 0 }),
		"forged":   record("s", 4, func(m map[string]any) { m["sig"] = "bad" }), "malformed": "{", "empty": "", "large": strings.Repeat("x", 1<<20+1),
	} {
		before := len(r.fake.rows)
		w := r.postTo("/v1/pcs/check", body)
		if len(r.fake.rows) != before {
			t.Errorf("%s: the check is in the ledger", what)
		}
		again := r.postTo("/v1/pcs/check", body)
		s := r.postTo("/v1/pcs/submit", body)
		got, want := membersOf(t, w), membersOf(t, s)
		if got["dry_run"] != true || want["dry_run"] != nil {
			t.Errorf("%s: dry_run %v, of the submission %v", what, got["dry_run"], want["dry_run"])
		}
		if seq, _ := want["seq"].(float64); int(seq) > before && got["seq"] != nil {
			t.Errorf("%s: a check that is not logged has seq %v", what, got["seq"])
		} else if int(seq) > before {
			delete(want, "seq")
		}
		delete(got, "dry_run")
		if w.Code != s.Code || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: check\n%d %v\nsubmit\n%d %v", what, w.Code, got, s.Code, want)
		}
		if again.Code != w.Code {
			t.Errorf("%s: checked again: %d, first %d", what, again.Code, w.Code)
		}
	}
	page := r.get("/metrics").Body.String()
	for _, line := range []string{
		"flk_ingest_total 9", "flk_signature_errors_total 3", "flk_signature_errors 3", `flk_checks_total{outcome="accepted"} 2`,
		`flk_checks_total{outcome="escalated"} 2`, `flk_checks_total{outcome="replayed"} 2`, `flk_checks_total{outcome="conflict"} 2`,
		`flk_checks_total{outcome="refused"} 8`, `flk_submissions_total{outcome="refused"} 4`, "flk_submit_duration_seconds_count 9",
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("no line %s in\n%s", line, page)
		}
	}
	if len(r.fake.rows) != rows+3 {
		t.Errorf("%d rows, want those of the submissions: %d", len(r.fake.rows), rows+3)
	}
}

// TestCheckTakesTheSame: what a submission is turned away for before anybody looks at it, a check is too; and both draw from the same
// rate of the address.
func TestCheckTakesTheSame(t *testing.T) {
	r := newTestServer(t, nil)
	for _, h := range [][]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}} {
		got, want := r.postTo("/v1/pcs/check", "{}", h...), r.postTo("/v1/pcs/submit", "{}", h...)
		if got.Code != want.Code || got.Code != 415 {
			t.Errorf("%v: check %d, submit %d", h, got.Code, want.Code)
		}
	}
	r = newTestServer(t, func(c *Config) { c.AddressRate = 0.001 })
	r.postTo("/v1/pcs/check", record("s", 1, nil))
	if w := r.postTo("/v1/pcs/submit", record("s", 1, nil)); w.Code != 429 {
		t.Errorf("a submission after a check used the rate up: %d", w.Code)
	}
	p := decode[wire.Problem](t, r.postTo("/v1/pcs/check", record("s", 1, nil)), 429)
	if !p.DryRun || p.RetryAfterMS == 0 {
		t.Errorf("%+v", p)
	}
}
