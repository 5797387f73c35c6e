package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	someID   = "65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5"
	testHMAC = "TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0="
)

// node is a fake node: it answers reads with fixed values and judges submissions by structure and signature.
type node struct {
	t      *testing.T
	server *httptest.Server
	ring   *verify.Ring
	digest wire.DigestAnswer
	noLead bool

	mu       sync.Mutex
	seen     map[string]wire.SubmitAnswer
	order    []string
	override func(w http.ResponseWriter, r *http.Request) bool
}

func newNode(t *testing.T) *node {
	t.Helper()
	key, err := verify.NewHMACKey([]byte(testHMAC))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, ring: verify.NewRing([]verify.Key{key}), seen: map[string]wire.SubmitAnswer{}}
	n.digest = wire.DigestAnswer{Seq: 42, Log: strings.Repeat("1a", 32), State: strings.Repeat("2b", 32), Generation: 1, Control: strings.Repeat("3c", 32)}
	n.server = httptest.NewTLSServer(n)
	t.Cleanup(n.server.Close)
	return n
}

// dev writes the directory that --dev reads.
func dev(t *testing.T, nodes ...*node) string {
	t.Helper()
	dir := t.TempDir()
	var urls []string
	var ca []byte
	for _, n := range nodes {
		urls = append(urls, n.server.URL)
		ca = append(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.server.Certificate().Raw})...)
	}
	line, err := json.Marshal(map[string]any{"ready": true, "api": urls, "ca": filepath.Join(dir, "ca.pem"), "dir": dir})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "endpoints.json"), string(line))
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func answer(w http.ResponseWriter, v any) {
	if p, ok := v.(*wire.Problem); ok {
		w.WriteHeader(p.Status)
	}
	_ = json.NewEncoder(w).Encode(v) // the command sees it
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.override != nil && n.override(w, r) {
		return
	}
	seqs := []uint64{40, 42}
	epoch := int64(209)
	shard := wire.ShardAnswer{ShardID: "shard-002", Epoch: &epoch, EpochSeq: 40, Submissions: 3, Accepted: 1, Escalated: 1, Conflicts: 1, FirstSeq: 40, LastSeq: 42, LastAt: "2026-01-02T03:04:07Z"}
	switch r.URL.Path {
	case "/v1/pcs/submit":
		n.submit(w, r)
	case "/health":
		_, _ = io.WriteString(w, "OK")
	case "/v1/pcs/" + someID:
		answer(w, wire.PCSAnswer{SubmitAnswer: okAnswer(someID, "shard-002", 209, 40), Events: seqs})
	case "/v1/pcs/" + strings.Repeat("0f", 32):
		a := wire.PCSAnswer{SubmitAnswer: okAnswer(strings.Repeat("0f", 32), "shard-002", 209, 42), Events: seqs}
		a.Generation = 2
		a.History = []wire.HistoryEntry{{Generation: 1, Policy: a.Policy, Outcome: "conflict", ReasonCode: "conflict", Seq: 42, FromSeq: 42},
			{Generation: 2, Policy: strings.Repeat("ab", 32), Outcome: "accepted", Accepted: true, ReasonCode: "ok", Seq: 42, FromSeq: 90}}
		answer(w, a)
	case "/v1/audit":
		answer(w, wire.AuditPage{AppliedSeq: 42, Generation: 1, Items: []wire.AuditItem{
			{Seq: 40, LogTime: "2026-01-02T03:04:05Z", Status: 200, Outcome: "accepted", Accepted: true, ReasonCode: "ok", ShardID: "shard-002", Epoch: 209, PCSID: someID, KeyID: "hmac-0123456789abcdef",
				Generation: 1, Was: wire.AuditAnswer{Generation: 1, Outcome: "accepted", Accepted: true, Status: 200, ReasonCode: "ok"}},
			{Seq: 41, LogTime: "2026-01-02T03:04:06Z", Status: 400, Outcome: "refused", ReasonCode: "schema", ShardID: "bad\x1b[31m", PCSID: "", Generation: 1, Was: wire.AuditAnswer{Generation: 1, Outcome: "refused"}},
		}})
	case "/v1/shards":
		answer(w, wire.ShardsPage{Items: []wire.ShardAnswer{shard, {ShardID: "zzz"}}, AppliedSeq: 42})
	case "/v1/shards/shard-002":
		answer(w, shard)
	case "/v1/events/40":
		answer(w, submissionEvent())
	case "/v1/events/42":
		answer(w, wire.EventAnswer{Seq: 42, Kind: "submission", Index: 17, Term: 2, RawTime: "2026-01-02T03:04:07Z", LogTime: "2026-01-02T03:04:07Z",
			Leaf: wire.Leaf{Format: 1, Seq: 42, Kind: 2, PayloadSHA256: strings.Repeat("ab", 32)}, LeafHash: strings.Repeat("cd", 32),
			Payload: make([]byte, 700), Summary: map[string]any{"pcs_id": someID, "node": "node-1", "facts": map[string]any{"alg": "hmac-sha256"}}})
	case "/v1/digest":
		answer(w, n.digest)
	case "/v1/cluster":
		n.cluster(w)
	case "/readyz":
		if n.noLead {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "[+]log ok\n[-]leader failed: none known\nreadyz check failed\n")
			return
		}
		_, _ = io.WriteString(w, "[+]log ok\n[+]leader ok\nreadyz check passed\n")
	case "/metrics":
		_, _ = io.WriteString(w, "# HELP x y\nflk_disk_free_bytes 3.221225472e+09\nflk_tls_certificate_expiry_seconds{certificate=\"api\"} 864100\nflk_tls_certificate_expiry_seconds{certificate=\"peer\"} 7.9e+06\n")
	case "/version":
		answer(w, wire.VersionAnswer{Version: "v0.1.0", Go: "go1.26", Node: "node-1", ClusterID: "dev", Kernels: []int{1}})
	default:
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
	}
}

func (n *node) cluster(w http.ResponseWriter) {
	seq, lag := uint64(42), uint64(0)
	c := wire.ClusterAnswer{ClusterID: "dev", Leader: "node-1", Term: 2, Members: []wire.Member{
		{ID: "node-1", API: "https://one", Suffrage: "voter", CommittedSeq: &seq, FoldedSeq: &seq, Lag: &lag, State: "leader"},
		{ID: "node-2", API: "https://two", Suffrage: "voter", State: "unreachable"},
	}}
	if n.noLead {
		c.Leader = ""
	}
	answer(w, c)
}

func okAnswer(id, shard string, epoch int64, seq uint64) wire.SubmitAnswer {
	return wire.SubmitAnswer{Accepted: true, RecomputedDHat: nano.Ptr(1_000_000_000), RecomputedBudget: 342_292_998, PCSID: id,
		Outcome: "accepted", ReasonCode: "ok", Reasons: []string{}, Seq: seq, ReceivedAt: "2026-01-02T03:04:05Z", Policy: strings.Repeat("ef", 32),
		Generation: 1, Node: "node-1", ShardID: shard, Epoch: epoch, DHat: nano.Ptr(1_012_345_678)}
}

func (n *node) submit(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		answer(w, wire.NewProblem(wire.CodeMethod, ""))
		return
	}
	body, _ := io.ReadAll(r.Body)
	rec := pcs.Decode(body)
	if rec.Fault != nil {
		answer(w, wire.NewProblem(wire.CodeMalformed, "").WithReason(string(rec.Fault.Class)))
		return
	}
	if !n.ring.Check(rec, verify.Facts{}).Valid() {
		answer(w, wire.NewProblem(wire.CodeBadSignature, ""))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.order = append(n.order, fmt.Sprintf("%s/%d", rec.ShardID, rec.Epoch))
	a, again := n.seen[rec.PCSID]
	if a.Replayed = again; !again {
		a = okAnswer(rec.PCSID, rec.ShardID, rec.Epoch, uint64(len(n.seen)+1))
		n.seen[rec.PCSID] = a
	}
	answer(w, a)
}

// ran is what one command line gave.
type ran struct {
	code     int
	out, err string
}

func run(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	return runEnv(t, nil, stdin, args...)
}

func runEnv(t *testing.T, env map[string]string, stdin string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs, env: func(name string) string { return env[name] }}
	return ran{a.run(ctx, args), out.String(), errs.String()}
}

var (
	spaces = regexp.MustCompile(`  +`)
	local  = regexp.MustCompile(`https://127\.0\.0\.1:\d+`)
	goVer  = regexp.MustCompile(`go1\.\d+(\.\d+)?`)
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = goVer.ReplaceAllString(spaces.ReplaceAllString(local.ReplaceAllString(got, "https://node"), "  "), "goX")
	path := filepath.Join("testdata", name+".golden")
	if *update {
		write(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", name, err, got, want)
	}
}

func TestReadCommands(t *testing.T) {
	dir := dev(t, newNode(t), newNode(t))
	for name, args := range map[string]string{
		"get": "get " + someID, "get-history": "get " + strings.Repeat("0f", 32), "get-json": "get -o json " + someID, "shards": "shards", "shards-ndjson": "shards -o ndjson",
		"shard": "shards shard-002", "event": "event 42", "audit": "audit", "audit-ndjson": "audit -o ndjson", "audit-json": "audit -o json --limit 2",
		"digest": "digest", "digest-json": "digest -o json", "cluster": "cluster status", "cluster-all-views": "cluster status --all-views", "cluster-ndjson": "cluster status -o ndjson",
		"version": "version", "tail": "tail --limit 2", "tail-ndjson": "tail --limit 1 --from-seq 3 -o ndjson",
	} {
		r := run(t, "", append(strings.Fields(args), "--dev", dir)...)
		if r.code != exitOK {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
		golden(t, name, r.out)
	}
}

func TestExitCodes(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	good := write(t, filepath.Join(t.TempDir(), "x"), "{}\n")
	gone := newNode(t)
	goneDir := dev(t, gone)
	gone.server.Close()
	leaderless := newNode(t)
	leaderless.noLead = true
	cut := newNode(t)
	cut.override = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	}
	other := newNode(t)
	other.digest.State = strings.Repeat("00", 32)
	for _, x := range []struct {
		code int
		talk string // part of stderr
		args []string
	}{
		{exitUsage, "has no command \"bogus\"", []string{"bogus"}},
		{exitUsage, "unknown flag", []string{"get", "--bogus"}},
		{exitUsage, "PCS_ID", []string{"get"}},
		{exitUsage, "--dev DIR", []string{"get", someID}},
		{exitUsage, "recount-node dev", []string{"get", someID, "--dev", t.TempDir()}},
		{exitUsage, "table, wide, json or ndjson", []string{"shards", "-o", "xml", "--dev", dir}},
		{exitUsage, "https://host:port", []string{"shards", "--endpoint", "localhost"}},
		{exitUsage, "date-time", []string{"audit", "--since", "someday", "--dev", dir}},
		{exitUsage, "whole number", []string{"event", "x", "--dev", dir}},
		{exitUsage, "no such file", []string{"submit", "/nonexistent", "--dev", dir}},
		{exitUsage, "1 of 1 files cannot be read", []string{"policy", "lint", "/nonexistent"}},
		{exitUsage, "no such file", []string{"policy", "publish", "/nonexistent", "--dev", dir}},
		{exitUsage, "no line has expectations", []string{"submit", "--check", good, "--dev", dir}},
		{exitNotFound, "not_found", []string{"get", strings.Repeat("0", 64), "--dev", dir}},
		{exitNotFound, "not_found", []string{"event", "7", "--dev", dir}},
		{exitRejected, "1 of 1 records were rejected", []string{"submit", good, "--dev", dir}},
		{exitUnavailable, "cluster status", []string{"submit", good, "--dev", goneDir, "--timeout", "50ms"}},
		{exitUnavailable, "knows a leader", []string{"cluster", "status", "--dev", dev(t, leaderless)}},
		{exitUnavailable, "", []string{"cluster", "status", "--dev", goneDir, "--timeout", "50ms"}},
		{exitUnavailable, "", []string{"digest", "--dev", dev(t, n, gone), "--timeout", "50ms"}},
		{exitUnknown, "Submit the same file again", []string{"submit", good, "--dev", dev(t, cut), "--timeout", "1500ms"}},
		{exitVerify, "differ at seq 42", []string{"digest", "--dev", dev(t, n, other)}},
		{exitFailed, "--ca FILE", []string{"shards", "--endpoint", n.server.URL}},
	} {
		r := run(t, "", x.args...)
		if r.code != x.code || !strings.Contains(r.err, x.talk) {
			t.Errorf("%v: exit %d, want %d: %s", x.args, r.code, x.code, r.err)
		}
	}
}

func TestSettingsFromTheEnvironment(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	asked := ""
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		asked = r.Header.Get("Authorization")
		return false
	}
	env := map[string]string{
		"RECOUNT_ENDPOINTS": "https://127.0.0.1:1," + n.server.URL, "RECOUNT_CA": filepath.Join(dir, "ca.pem"),
		"RECOUNT_TOKEN_FILE": write(t, filepath.Join(dir, "token"), "secret\n"),
	}
	if r := runEnv(t, env, "", "get", someID); r.code != exitOK || asked != "Bearer secret" {
		t.Errorf("%+v, token %q", r, asked)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	root := (&app{env: os.Getenv}).root()
	commands := root.Commands()
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Commands()...)
		if c.Short == "" || !strings.Contains(c.Example, "recount ") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		args := append(strings.Fields(strings.TrimPrefix(c.CommandPath(), "recount ")), "--help")
		if r := run(t, "", args...); r.code != exitOK || !strings.Contains(r.out, "Examples:") || r.err != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := run(t, "", "completion", shell); r.code != exitOK || len(r.out) < 500 {
			t.Errorf("%s: %+v", shell, r)
		}
	}
	if r := run(t, "", "completion", "tcsh"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}
