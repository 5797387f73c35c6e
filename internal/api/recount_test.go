package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

func (r *testServer) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", wire.MediaJSON)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return r.do(req)
}

func TestPolicies(t *testing.T) {
	r := newTestServer(t, nil)
	made := decode[wire.PolicyAnswer](t, r.send("POST", "/v1/policies", `{"document":"kernel: 1\n","reason":"fix","ticket":"T-1","op_id":"a"}`), 201)
	if got := r.fake.operations[0]; got != (wire.Op{OpID: "a", Reason: "fix", Ticket: "T-1"}) {
		t.Errorf("%+v", got)
	}
	again := r.send("POST", "/v1/policies?reason=fix", "kernel: 1\n", "Content-Type", wire.MediaYAML)
	if a := decode[wire.PolicyAnswer](t, again, 200); a.ID != made.ID || again.Header().Get("Location") != "/v1/policies/"+made.ID {
		t.Errorf("%+v %v", a, again.Header())
	}
	if page := decode[wire.PoliciesPage](t, r.get("/v1/policies"), 200); len(page.Items) != 1 || page.Items[0].Source != "" {
		t.Errorf("%+v", page)
	}
	if a := decode[wire.PolicyAnswer](t, r.get("/v1/policies/"+strings.ToUpper(made.ID)), 200); a.Source != "kernel: 1\n" {
		t.Errorf("%+v", a)
	}
	if a := decode[wire.ApplyAnswer](t, r.send("POST", "/v1/policies/"+made.ID+"/apply", `{"reason":"now"}`), 200); a.Seq != 9 {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		method, target, body string
		status               int
	}{
		{"POST", "/v1/policies", `{"document":"rubbish"}`, 422}, {"POST", "/v1/policies", `{"document":"kernel: 1","more":1}`, 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1","document":"kernel: 2"}`, 400}, {"POST", "/v1/policies", `{"document":"kernel: 1"} x`, 400},
		{"POST", "/v1/policies", `[]`, 400}, {"POST", "/v1/policies", `{"document":1}`, 400}, {"POST", "/v1/policies?reason=x", `{"document":"kernel: 1"}`, 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1","reason":"` + strings.Repeat("x", 1025) + `"}`, 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1","ticket":"a\u0007"}`, 400}, {"POST", "/v1/policies", "{\"document\":\"\xff\"}", 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1","Document":"kernel: 2"}`, 400}, {"POST", "/v1/policies", `{"DOCUMENT":"kernel: 1"}`, 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1","rea\u017fon":"x"}`, 400}, {"POST", "/v1/policies", `{"document":"kernel: 1","op_id":"` + strings.Repeat("x", 65) + `"}`, 400},
		{"POST", "/v1/policies", `{"document":"kernel: 1"`, 400}, {"POST", "/v1/policies?op_id=a&op_id=b", "{}", 400}, {"POST", "/v1/policies", "{}", 422},
		{"GET", "/v1/policies/abc", "", 400}, {"GET", "/v1/policies/" + strings.Repeat("0", 64), "", 404}, {"POST", "/v1/policies/abc/apply", "{}", 400},
		{"POST", "/v1/policies/" + strings.Repeat("0", 64) + "/apply", "{}", 404},
	} {
		if w := r.send(c.method, c.target, c.body); w.Code != c.status {
			t.Errorf("%s %s %.60s: %d, want %d: %s", c.method, c.target, c.body, w.Code, c.status, w.Body)
		}
	}
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"Content-Type", "text/plain"}, 415}, {[]string{"Content-Type", wire.MediaYAML, "Content-Encoding", "gzip"}, 415},
		{[]string{"Content-Type", wire.MediaYAML + "; charset=latin1"}, 415}, {[]string{"Content-Type", wire.MediaYAML + "; charset=utf-8"}, 200},
		{[]string{"Content-Type", ""}, 415},
	} {
		if w := r.send("POST", "/v1/policies", "kernel: 1\n", c.headers...); w.Code != c.status {
			t.Errorf("%v: %d, want %d", c.headers, w.Code, c.status)
		}
	}
}

func TestGenerations(t *testing.T) {
	r := newTestServer(t, nil)
	policy := hexOf("p")
	w := r.send("POST", "/v1/generations", `{"policy":"`+policy+`","from":3,"keys":"hindsight","ticket":"T"}`)
	if a := decode[wire.GenerationAnswer](t, w, 202); a.Generation != 2 || w.Header().Get("Location") != "/v1/generations/2" {
		t.Errorf("%+v %v", a, w.Header())
	}
	if page := decode[wire.GenerationsPage](t, r.get("/v1/generations"), 200); len(page.Items) != 1 || page.Active != 1 {
		t.Errorf("%+v", page)
	}
	if a := decode[wire.GenerationAnswer](t, r.get("/v1/generations/2"), 200); len(a.Nodes) != 3 {
		t.Errorf("%+v", a)
	}
	if a := decode[wire.DiffAnswer](t, r.get("/v1/generations/2/diff?position=77"), 200); a.Position != 77 || len(a.Digest) != 80 {
		t.Errorf("%+v", a)
	}
	if a := decode[wire.ActivateAnswer](t, r.send("POST", "/v1/generations/2/activate", `{"diff":"d","max_new_flips":0,"reason":"why"}`), 200); a.Seq != 8 {
		t.Errorf("%+v", a)
	}
	if a := decode[wire.ActivateAnswer](t, r.send("POST", "/v1/generations/rollback", `{}`), 200); a.Generation != 1 {
		t.Errorf("%+v", a)
	}
	if a := decode[wire.DropAnswer](t, r.send("DELETE", "/v1/generations/2?ticket=T-9", ""), 200); a.Seq != 10 || r.fake.operations[len(r.fake.operations)-1].Ticket != "T-9" {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		method, target, body string
		status               int
	}{
		{"POST", "/v1/generations", `{"policy":"x"}`, 400}, {"POST", "/v1/generations", `{"policy":"` + policy + `","keys":"all"}`, 400},
		{"POST", "/v1/generations", `{"policy":"` + policy + `","from":-1}`, 400}, {"GET", "/v1/generations/9", "", 404}, {"GET", "/v1/generations/0", "", 400},
		{"GET", "/v1/generations/x", "", 400}, {"GET", "/v1/generations/9/diff", "", 404}, {"GET", "/v1/generations/2/diff?position=0", "", 400},
		{"GET", "/v1/generations/9/progress", "", 404}, {"POST", "/v1/generations/2/activate", `{"diff":"stale"}`, 409},
		{"POST", "/v1/generations/2/activate", `{"diff":"split"}`, 503}, {"POST", "/v1/generations/2/activate", `{}`, 400},
		{"POST", "/v1/generations/2/activate", `{"diff":"d","max_new_flips":-1}`, 400}, {"POST", "/v1/generations/0/activate", `{"diff":"d"}`, 400},
		{"POST", "/v1/generations", `{"policy":"` + policy + `","ticket":"full"}`, 507}, {"POST", "/v1/generations", `{"policy":"` + policy + `","from":2000000000000}`, 409},
		{"POST", "/v1/generations", `{"policy":"` + policy + `","From":1}`, 400}, {"POST", "/v1/generations/rollback", `null`, 400},
		{"GET", "/v1/generations/4294967296", "", 400}, {"GET", "/v1/generations/2/progress?limit=1", "", 400}, {"DELETE", "/v1/generations/9", "", 404},
		{"DELETE", "/v1/generations/2?reason=a%07", "", 400}, {"DELETE", "/v1/generations/x", "", 400}, {"DELETE", "/v1/generations/2?why=1", "", 400},
		{"PUT", "/v1/generations/2", "{}", 405},
	} {
		if w := r.send(c.method, c.target, c.body); w.Code != c.status {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.target, c.body, w.Code, c.status, w.Body)
		}
	}
}

func TestRevoke(t *testing.T) {
	r := newTestServer(t, nil)
	w := r.send("POST", "/v1/keys/hmac-1/revoke", `{"since":"2026-02-03T04:05:06Z","reason":"stolen","ticket":"INC-1"}`)
	if a := decode[wire.RevokeAnswer](t, w, 200); a.Since != "2026-02-03T04:05:06.000000000Z" || a.Seq != 7 || r.fake.operations[0].Ticket != "INC-1" {
		t.Errorf("%+v", a)
	}
	for body, status := range map[string]int{`{"since":"yesterday"}`: 400, `{"until":1}`: 400, ``: 400} {
		if w := r.send("POST", "/v1/keys/hmac-1/revoke", body, "Content-Type", wire.MediaJSON); w.Code != status {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	if w := r.send("POST", "/v1/keys/unknown/revoke", "{}"); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestFlips(t *testing.T) {
	r := newTestServer(t, nil)
	side := wire.FlipSide{Outcome: wire.OutcomeAccepted, Accepted: true, ReasonCode: wire.ReasonOK, Policy: hexOf("p")}
	for i := range 250 {
		r.fake.flips = append(r.fake.flips, wire.Flip{Seq: uint64(i + 1), PCSID: hexOf(i), ShardID: fmt.Sprint("s", i%2), Cause: "direct", Old: side, New: side})
	}
	var got []wire.Flip
	for target, n := "/v1/generations/2/flips?shard=s1&limit=50&position=400", 0; target != ""; n++ {
		page := decode[wire.FlipsPage](t, r.get(target), 200)
		if page.Position != 400 || n > 5 {
			t.Fatalf("%+v", page)
		}
		got = append(got, page.Items...)
		if target = ""; page.NextCursor != "" {
			target = "/v1/generations/2/flips?shard=s1&limit=50&cursor=" + page.NextCursor
		}
	}
	if len(got) != 125 {
		t.Errorf("%d flips", len(got))
	}
	page := decode[wire.FlipsPage](t, r.get("/v1/generations/2/flips?limit=1"), 200)
	for _, target := range []string{"/v1/generations/3/flips?cursor=" + page.NextCursor, "/v1/generations/2/flips?shard=s1&cursor=" + page.NextCursor} {
		if w := r.get(target); w.Code != 400 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	lines := strings.Split(strings.TrimSpace(r.get("/v1/generations/2/flips?limit=240", "Accept", wire.MediaNDJSON).Body.String()), "\n")
	var end wire.Trailer
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || len(lines) != 241 || end.Count != 240 || end.NextCursor == "" {
		t.Errorf("%d lines, %+v %v", len(lines), end, err)
	}
	r.fake.gone[2] = true
	if w := r.get("/v1/generations/2/flips", "Accept", wire.MediaNDJSON); w.Code != 409 {
		t.Errorf("%d", w.Code)
	}
}

// TestProgress: a stream of events that ends when every node that answers has reported.
func TestProgress(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.ProgressEvery = time.Millisecond })
	decode[wire.GenerationAnswer](t, r.send("POST", "/v1/generations", `{"policy":"`+hexOf("p")+`"}`), 202)
	w := r.get("/v1/generations/2/progress")
	text := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Type") != wire.MediaEvents || w.Header().Get("X-Accel-Buffering") != "no" || strings.Count(text, "event: progress\n") != 2 || strings.Count(text, "event: done\n") != 1 {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), text)
	}
}

// TestUnknownOutcomeOfOperations: an operation may be in the log when its time is up, so nothing may say that it is not.
func TestUnknownOutcomeOfOperations(t *testing.T) {
	r := newTestServer(t, nil)
	id := decode[wire.PolicyAnswer](t, r.send("POST", "/v1/policies", `{"document":"kernel: 1\n"}`), 201).ID
	decode[wire.GenerationAnswer](t, r.send("POST", "/v1/generations", `{"policy":"`+id+`"}`), 202)
	r.fake.fail = fmt.Errorf("waiting for the fold: %w", context.DeadlineExceeded)
	for _, c := range [][3]string{
		{"POST", "/v1/policies", `{"document":"kernel: 1 # again"}`}, {"POST", "/v1/keys/hmac-1/revoke", "{}"}, {"POST", "/v1/generations", `{"policy":"` + id + `"}`},
		{"POST", "/v1/generations/2/activate", `{"diff":"d"}`}, {"POST", "/v1/generations/rollback", "{}"}, {"DELETE", "/v1/generations/2", ""},
	} {
		w := r.send(c[0], c[1], c[2])
		if p := decode[wire.Problem](t, w, 504); p.Code != wire.CodeOutcomeUnknown || w.Header().Get(wire.HeaderRetryAfter) == "" {
			t.Errorf("%v: %+v", c, p)
		}
	}
	if p := decode[wire.Problem](t, r.get("/v1/generations/2"), 503); p.Code != wire.CodeBehind {
		t.Errorf("%+v", p)
	}
}

// TestShutdownEndsProgress: a stream does not hold up a node that stops.
func TestShutdownEndsProgress(t *testing.T) {
	fake := newFake()
	fake.generations = []wire.GenerationAnswer{{Generation: 2, State: wire.GenerationBuilding}}
	server, err := NewServer(Config{NoAuth: true, Ledger: fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), ProgressEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	resp, err := http.Get("http://" + listener.Addr().String() + "/v1/generations/2/progress")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || strings.Count(string(text), "event: progress\n") != 1 {
		t.Errorf("%v: %s", err, text)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
