package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/load"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// benchArgs is a short load test with the key that the fake nodes hold.
func benchArgs(t *testing.T, dir, more string) []string {
	t.Helper()
	key := write(t, filepath.Join(t.TempDir(), "key"), testHMAC+"\n")
	return append([]string{"bench", "--dev", dir, "--key-file", key, "--duration", "300ms"}, strings.Fields(more)...)
}

func benchReport(t *testing.T, r ran) *load.Report {
	t.Helper()
	report := &load.Report{}
	if err := json.Unmarshal([]byte(r.out), report); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return report
}

// submissions counts the records that reach a fake node, and answers those that pick chooses.
func submissions(n *node, pick func(http.ResponseWriter, int32) bool) *atomic.Int32 {
	seen := &atomic.Int32{}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == client.SubmitPath && pick(w, seen.Add(1))
	}
	return seen
}

// TestBench: each record that reaches the nodes is in the report, besides the first one, which is tried before.
func TestBench(t *testing.T) {
	n := newNode(t)
	seen := submissions(n, func(http.ResponseWriter, int32) bool { return false })
	dir := dev(t, n)
	for more, loop := range map[string]string{"--rate 100": "open", "--clients 2": "closed", "--rate 50 --retry": "open"} {
		before := seen.Load()
		r := run(t, "", benchArgs(t, dir, more+" --yes -o json")...)
		report := benchReport(t, r)
		if r.code != exitOK || report.Loop != loop || !report.OK() || report.Taken == 0 ||
			report.Taken != uint64(seen.Load()-before-1) || report.Latency.Count != report.Taken ||
			loop == "open" && report.Sent != uint64(report.Rate*0.3) || !strings.HasPrefix(report.Prefix, "bench-") {
			t.Errorf("%s: %+v", more, r)
		}
	}
	r := run(t, "", benchArgs(t, dir, "--rate 100 --yes --shard-prefix load.test --shards 300")...)
	for _, want := range []string{"100 records a second, at most 256 under way", "30, ", ", load.test-", "due to taken",
		"due to sent", "P99.9", "accepted     30"} {
		if r.code != exitOK || !strings.Contains(r.out, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	if strings.Contains(r.out, "failed  ") && strings.Contains(r.out, "ERROR") {
		t.Errorf("%+v", r)
	}
}

// TestBenchWantsConfirmation: nothing is written before somebody agrees.
func TestBenchWantsConfirmation(t *testing.T) {
	n := newNode(t)
	seen := submissions(n, func(http.ResponseWriter, int32) bool { return false })
	args := benchArgs(t, dev(t, n), "--rate 100")
	if r := run(t, "dev\n", args...); r.code != exitUsage || !strings.Contains(r.err, "permanently") || seen.Load() != 0 {
		t.Errorf("in a pipe: %+v, %d records", r, seen.Load())
	}
	for typed, code := range map[string]int{"\n": exitFailed, "yes\n": exitFailed, "bench\n": exitFailed, "dev\n": exitOK} {
		before := seen.Load()
		r := onTerminal(t, typed, args...)
		if r.code != code || (seen.Load() > before) != (code == exitOK) || !strings.Contains(r.err, "Type dev") ||
			!strings.Contains(r.err, "30 records in 300ms, signed by hmac-") {
			t.Errorf("typed %q: %+v", typed, r)
		}
	}
}

// TestBenchFailures are counted by outcome and error, and the exit code is 1.
func TestBenchFailures(t *testing.T) {
	n := newNode(t)
	n2 := submissions(n, func(w http.ResponseWriter, i int32) bool {
		switch {
		case i == 1: // the first is tried alone
			return false
		case i%3 == 0:
			answer(w, wire.NewProblem(wire.CodeThrottled, ""))
			return true
		case i%10 == 1:
			answer(w, wire.NewProblem(wire.CodeConflict, ""))
			return true
		case i%10 == 4:
			answer(w, wire.NewProblem(wire.CodeOutcomeUnknown, ""))
			return true
		case i%10 == 7:
			panic(http.ErrAbortHandler)
		}
		return false
	})
	dir := dev(t, n)
	r := run(t, "", benchArgs(t, dir, "--rate 200 --yes -o json")...)
	report := benchReport(t, r)
	for outcome, code := range map[load.Outcome]string{load.Unavailable: "throttled", load.Refused: "conflict",
		load.Unknown: "outcome_unknown"} {
		if report.Outcomes[outcome] == 0 || report.Errors[code] == 0 {
			t.Errorf("%s, %s: %+v", outcome, code, report)
		}
	}
	if r.code != exitFailed || report.Sent != 60 || report.Failed == 0 || report.Taken+report.Failed != 60 ||
		report.Errors["network"] == 0 || report.Failures.Count != report.Failed ||
		!strings.Contains(r.err, "most with throttled") || !strings.Contains(r.err, "token_rate") {
		t.Errorf("%+v", r)
	}
	n2.Store(0)
	r = run(t, "", benchArgs(t, dir, "--clients 1 --yes")...)
	if r.code != exitFailed || !strings.Contains(r.out, "THE FIRST ONE") || !strings.Contains(r.out, "due to failed") ||
		strings.Contains(r.out, "due to sent") {
		t.Errorf("%+v", r)
	}
}

// TestBenchTriesOneFirst: a ledger that refuses the key gets one record and no more.
func TestBenchTriesOneFirst(t *testing.T) {
	for code, says := range map[wire.Code]string{
		wire.CodeBadSignature: "the first record was refused", wire.CodeOverloaded: "the first record was not taken",
	} {
		n := newNode(t)
		seen := submissions(n, func(w http.ResponseWriter, _ int32) bool {
			answer(w, wire.NewProblem(code, ""))
			return true
		})
		r := run(t, "", benchArgs(t, dev(t, n), "--rate 100 --yes --timeout 300ms")...)
		if r.code != exitFailed || !strings.Contains(r.err, says) || r.out != "" ||
			code == wire.CodeBadSignature && (seen.Load() != 1 || !strings.Contains(r.err, "shards bench-*")) {
			t.Errorf("%s: %+v, %d records", code, r, seen.Load())
		}
	}
}

// TestBenchUsage: what makes no sense is refused before anything is sent.
func TestBenchUsage(t *testing.T) {
	n := newNode(t)
	seen := submissions(n, func(http.ResponseWriter, int32) bool { return false })
	dir := dev(t, n)
	for more, says := range map[string]string{
		"":                                 "--rate R",
		"--rate 5 --clients 5":             "--rate R",
		"--rate=-1":                        "--rate:",
		"--clients=-1":                     "1..1024",
		"--clients 1025":                   "1..1024",
		"--rate 5 --in-flight 0":           "1..1024",
		"--rate 5 --shards 255":            "--shards: 256",
		"--rate 5 --duration 0s":           "--duration",
		"--rate 5 --shard-prefix a/b":      "--shard-prefix",
		"--rate 5 --scheme pcs/3":          "pcs/1 or pcs/2",
		"--rate 5 --alg rsa":               "rsa",
		"--rate 5 --key-file /nonexistent": "no such file",
	} {
		if r := run(t, "", benchArgs(t, dir, more+" --yes")...); r.code != exitUsage || !strings.Contains(r.err, says) {
			t.Errorf("%s: %+v", more, r)
		}
	}
	if seen.Load() != 0 {
		t.Errorf("%d records", seen.Load())
	}
}

// TestBenchProgressText: the line has the rate, the failures and the time to go.
func TestBenchProgressText(t *testing.T) {
	for want, p := range map[string]load.Progress{
		"400 taken, 100/s, p99 12.5 ms, 56s to go": {Elapsed: 4 * time.Second, Duration: time.Minute, Taken: 400, P99: 12.5},
		"400 taken, 100/s, 3 failed, p99 125 ms, waits for the last answers": {Elapsed: 4 * time.Second, Duration: time.Second,
			Taken: 400, Failed: 3, P99: 125},
	} {
		if got := benchProgressText(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestBenchOnNodes: three real nodes take the records of every loop, scheme and sender, and the ledger holds as many as the
// report says, in shards of the test alone. An interrupt ends a test early. With a node down the others go on.
func TestBenchOnNodes(t *testing.T) {
	c := nodetest.Start(t, 3)
	dir := t.TempDir()
	text, err := os.ReadFile("../../testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		HMAC map[string]struct{ Text string } `json:"hmac"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	args := []string{"bench", "--ca", write(t, filepath.Join(dir, "ca.pem"), string(c.CA.CertPEM())), "-o", "json", "--yes",
		"--key-file", write(t, filepath.Join(dir, "key"), keys.HMAC["hmac-current"].Text),
		"--token-file", write(t, filepath.Join(dir, "token"), c.Tokens[wire.RoleAuditor])}
	for i := range 3 {
		args = append(args, "--endpoint", c.URL(i))
	}
	latest := client.Read{Consistency: wire.ConsistencyLinearizable}
	inLedger := func(prefix string) (n uint64) {
		for item, err := range c.Client.Audit(t.Context(), client.AuditQuery{Read: latest}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(item.ShardID, prefix+"-") && item.ShardID != prefix+"-first" && item.Outcome == "accepted" {
				n++
			}
		}
		return n
	}
	for _, more := range []string{"--rate 50 --duration 1s", "--clients 5 --shards 11 --duration 1s --scheme pcs/2",
		"--rate 100 --duration 1s --retry"} {
		r := run(t, "", append(args, strings.Fields(more)...)...)
		report := benchReport(t, r)
		if r.code != exitOK || !report.OK() || report.Sent == 0 || report.Loop == "open" && float64(report.Sent) != report.Rate {
			t.Errorf("%s: %+v", more, r)
		}
		if n := inLedger(report.Prefix); n != report.Taken {
			t.Errorf("%s: %d in the ledger, %d in the report", more, n, report.Taken)
		}
	}
	r, first := interrupted(t, append(args, "--clients", "3", "--duration", "1h"), c)
	report := benchReport(t, r)
	if r.code != exitOK || !report.Interrupted || report.Taken < first || report.Taken != inLedger(report.Prefix) {
		t.Errorf("interrupted: %+v", r)
	}
	c.Stop((c.Leader() + 1) % 3)
	r = run(t, "", append(args, "--clients", "48", "--duration", "1s")...) // some begin with the node that is away
	report = benchReport(t, r)
	if r.code != exitFailed || report.Failed == 0 || report.Taken == 0 || report.Errors["network"] == 0 ||
		report.Taken != inLedger(report.Prefix) {
		t.Errorf("without a node: %+v", r)
	}
}

// interrupted runs a command until the ledger has grown by some records, and interrupts it.
func interrupted(t *testing.T, args []string, c *nodetest.Cluster) (r ran, records uint64) {
	t.Helper()
	records = 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before, err := c.Client.Digest(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // an answer that needs so many events comes when they are there
		defer cancel()
		if _, err := c.Client.Digest(ctx, before.Seq+records+10); err != nil {
			t.Error(err)
		}
	}()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, env: noEnv}
	return ran{a.run(ctx, args), out.String(), errs.String()}, records
}
