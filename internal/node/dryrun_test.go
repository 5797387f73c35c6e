package node_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// corpusKeys trusts the keys of the corpora.
func corpusKeys(t *testing.T) func(*node.Config) {
	t.Helper()
	var all struct {
		HMAC map[string]struct {
			Text    string
			Trusted bool
		}
		Ed25519 map[string]struct {
			Hex     string `json:"public_hex"`
			Trusted bool
		}
	}
	text, err := os.ReadFile("../../testdata/keys.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	var keys []verify.Key
	add := func(k verify.Key, err error) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	for _, k := range all.HMAC {
		if k.Trusted {
			add(verify.NewHMACKey([]byte(k.Text)))
		}
	}
	for _, k := range all.Ed25519 {
		if public, err := hex.DecodeString(k.Hex); err == nil && k.Trusted {
			add(verify.NewEd25519Key(public))
		}
	}
	return func(cfg *node.Config) { cfg.Keys = keys }
}

// bearer sends every request as an auditor.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// said are the members of an answer without those that belong to the request or to the event, which a check has not.
func said(t *testing.T, a harness.Answer) map[string]any {
	t.Helper()
	m := map[string]any{}
	if json.Valid(a.Raw) && json.Unmarshal(a.Raw, &m) != nil {
		t.Fatalf("%s", a.Raw)
	}
	for _, name := range []string{"request_id", "received_at", "node", "retry_after_ms", "dry_run", "seq"} {
		delete(m, name)
	}
	return m
}

// TestCheckSaysWhatSubmitSays: for every record of the corpora, leader and follower say before it is submitted
// what the submission is answered then, and no check leaves anything in the ledger.
func TestCheckSaysWhatSubmitSays(t *testing.T) {
	c := nodetest.Start(t, 3, corpusKeys(t))
	leader := c.Leader()
	follower := (leader + 1) % c.Size()
	web := c.HTTPFrom("127.0.0.1")
	web.Transport = bearer{c.Tokens[wire.RoleMetrics], web.Transport}
	seen, edge, kept := map[int]int{}, 0, map[uint64]bool{}
	resent := 0 // by the node, because the leader changed: the answer is that of the first copy
	for _, name := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		cases, err := harness.Load("../../testdata/" + name + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range cases {
			if k.Path != "" && k.Path != client.SubmitPath || k.Method != "" && k.Method != http.MethodPost {
				continue // no submission
			}
			check := k
			check.Path = client.CheckPath
			var checked [2]harness.Answer
			for j, n := range []int{leader, follower} {
				if checked[j], err = check.Send(t.Context(), web, c.URL(n)); err != nil {
					t.Fatal(err)
				}
			}
			a, err := k.Send(t.Context(), web, c.URL([]int{leader, follower}[i%2]))
			if err != nil {
				t.Fatal(err)
			}
			want := said(t, a)
			seen[a.Status]++
			again := a.Replayed && !kept[a.Seq]
			if again {
				resent++
			}
			for j, x := range checked {
				got := said(t, x)
				if a.Status == http.StatusUnauthorized && a.Seq == 0 { // over the budget of refusals that are logged
					edge += j
					got, want = map[string]any{"code": got["code"], "reason_code": got["reason_code"]},
						map[string]any{"code": want["code"], "reason_code": want["reason_code"]}
				}
				replay := a.Replayed && !again || kept[a.Seq]
				if again {
					want["replayed"] = false
				}
				if x.Status != a.Status || !reflect.DeepEqual(got, want) || replay && x.Seq != a.Seq ||
					!replay && x.Seq != 0 {
					t.Errorf("%s %s, %s: check\n%d %s\nsubmit\n%d %s", name, k.ID,
						[]string{"leader", "follower"}[j], x.Status, x.Raw, a.Status, a.Raw)
				}
			}
			if a.Seq != 0 && kept[a.Seq] != a.Replayed && !again {
				t.Errorf("%s %s: event %d, replayed %v: a check was logged or the corpus is odd", name, k.ID,
					a.Seq, a.Replayed)
			}
			kept[a.Seq] = true
		}
	}
	if resent > 20 {
		t.Errorf("%d first submissions were answered as repetitions: checks were logged", resent)
	}
	delete(kept, 0)
	rows := 0
	for _, err := range c.Client.Audit(t.Context(), client.AuditQuery{
		Read: client.Read{Consistency: wire.ConsistencyLinearizable},
	}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows < len(kept) || rows > len(kept)+seen[200]+resent { // repetitions may be events too, checks never
		t.Errorf("%d submissions in the ledger, %d answers named one", rows, len(kept))
	}
	t.Logf("answers by status: %v; of the 401 %d compared without what only the log says; %d events", seen, edge, rows)
}

// checked asks node i what a record would be answered.
func checked(c *nodetest.Cluster, i int, body []byte) (int, wire.Problem) {
	status, text := c.Once(i, http.MethodPost, client.CheckPath, body)
	var p wire.Problem // has every member that matters here
	_ = json.Unmarshal(text, &p)
	return status, p
}

// TestCheckLeavesNothing: a check is in no log, no audit stream and no counter of submissions, and takes
// nothing of the budget for refusals; the id stays free. The next event after many checks is the one that comes
// after the last before.
func TestCheckLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Audit = node.AuditLog{File: filepath.Join(dir, "audit"), MaxBytes: 1 << 20}
	})
	f := nodetest.NewRecords(t)
	fresh, forged := nodetest.Record{Shard: "dry", Epoch: 1, Root: "r"},
		nodetest.Record{Shard: "dry-forged", Epoch: 1, Root: "r", Forged: true}
	for range 100 { // more than the budget for refusals has
		if status, p := checked(c, 0, f.Sign(fresh)); status != 200 || !p.DryRun || p.Outcome != "accepted" ||
			p.Seq != 0 {
			t.Fatalf("fresh: %d %+v", status, p)
		}
		if status, p := checked(c, 0, f.Sign(forged)); status != 401 || !p.DryRun ||
			p.Code != wire.CodeBadSignature || p.Outcome != "refused" || p.Seq != 0 {
			t.Fatalf("forged: %d %+v", status, p)
		}
	}
	status, text := c.Once(0, http.MethodPost, client.SubmitPath,
		f.Sign(nodetest.Record{Shard: "real", Epoch: 1, Root: "r", Forged: true}))
	var p wire.Problem
	if err := json.Unmarshal(text, &p); err != nil || status != 401 || p.Seq == 0 {
		t.Errorf("a forgery after the checks is not logged: %d %s", status, text)
	}
	page := metricsPage(t, c, 0)
	for _, line := range []string{"flk_signature_errors_total 101", "flk_ingest_total 1",
		`flk_checks_total{outcome="accepted"} 100`, `flk_checks_total{outcome="refused"} 100`,
		"flk_refusals_dropped_total 0", `flk_folded_total{outcome="refused"} 1`} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	c.Stop(0) // writes what is queued
	lines, _ := auditLines(t, filepath.Join(dir, "audit"))
	lines = slices.DeleteFunc(lines, func(l map[string]any) bool { return l["shard_id"] == "real" })
	if len(lines) != 0 {
		t.Errorf("the audit stream has %d checks, first %v", len(lines), lines[0])
	}
}

// TestCheckSaysWhatStopsASubmission: a freeze, a policy that lets unsigned records pass, and a cluster without
// a majority.
func TestCheckSaysWhatStopsASubmission(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	bare := f.Sign(nodetest.Record{Shard: "bare", Epoch: 1, Root: "r", Bare: true})
	everywhere := func(what string, body []byte, status int, code string) {
		t.Helper()
		for i := range c.Size() {
			if got, p := checked(c, i, body); got != status || p.ReasonCode != code || !p.DryRun {
				t.Errorf("%s, node %d: %d %+v, want %d %s", what, i, got, p, status, code)
			}
		}
	}
	everywhere("unsigned", bare, 401, "bad_signature")
	r.apply(r.publish(laxPolicy))
	everywhere("unsigned under a lax policy", bare, 200, "ok")
	_, err := c.Client.Freeze(r.ctx, wire.FreezeRequest{
		Scope:   wire.FreezeShard,
		Subject: "bare",
		Op:      wire.Op{OpID: "freeze", Reason: "a test"},
	})
	r.must(err)
	everywhere("frozen", bare, 503, "frozen")
	everywhere("no record", []byte(`{"sig":""}`), 400, "schema")
	for i := range c.Size() {
		for _, line := range []string{"flk_frozen_refusals_total 0", "flk_structure_errors_total 0",
			"flk_ingest_total 0"} {
			if !strings.Contains(metricsPage(t, c, i), line+"\n") {
				t.Errorf("node %d counts checks as submissions: no %s", i, line)
			}
		}
	}
	everywhere("elsewhere", f.Sign(nodetest.Record{Shard: "free", Epoch: 1, Root: "r"}), 200, "ok")
	left := c.Leader()
	for i := range c.Size() {
		if i != left {
			c.Stop(i)
		}
	}
	c.Await("a check without a majority is not answered", func() error {
		if status, p := checked(c, left, f.Sign(nodetest.Record{Shard: "free", Epoch: 2, Root: "r"})); status != 503 {
			return fmt.Errorf("%d %+v", status, p)
		}
		return nil
	})
}
