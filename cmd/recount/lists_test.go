package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// operationsNode answers with six operations on two pages.
func operationsNode(t *testing.T) *node {
	n := newNode(t)
	all := []wire.OperationItem{
		{
			Seq:   3,
			Kind:  "key_added",
			Actor: "alice",
			About: map[string]any{
				"key_id":    "hmac-90e6c1d2a3b4c5d6",
				"owner":     "lab 7",
				"not_after": "1798511509923703057",
			},
		},
		{Seq: 5, Kind: "generation_activated", Actor: "bob", About: map[string]any{"from": 1.0, "generation": 2.0}},
		{
			Seq:    8,
			Kind:   "key_revoked",
			Actor:  "alice",
			Reason: "stolen",
			About:  map[string]any{"key_id": "hmac-90e6c1d2a3b4c5d6", "since": "1798511509923703057"},
		},
		{
			Seq:   9,
			Kind:  "generation_activated",
			Actor: "bob",
			About: map[string]any{"from": 2.0, "generation": 1.0, "rollback": true},
		},
		{Seq: 11, Kind: "frozen", Actor: "alice", About: map[string]any{"scope": "shard", "subject": "lab-7"}},
		{Seq: 12, Kind: "policy_published", Actor: "alice", About: map[string]any{"policy": strings.Repeat("ab", 32)}},
	}
	for i := range all {
		all[i].LogTime, all[i].Effect = wire.Time(time.Date(2026, 1, 2, 3, 0, int(all[i].Seq), 0, time.UTC)),
			wire.EffectApplied
	}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/operations" {
			return false
		}
		from, _ := strconv.ParseUint(r.URL.Query().Get("from_seq"), 10, 64)
		page := wire.OperationsPage{Items: []wire.OperationItem{}, AppliedSeq: 12}
		for _, i := range all {
			if i.Seq < from {
				continue
			}
			if len(page.Items) == 3 {
				page.NextSeq = i.Seq
				break
			}
			page.Items = append(page.Items, i)
		}
		answer(w, page)
		return true
	}
	return n
}

// TestOperationsInWords: what was done can be read without a manual, and the selection is what was asked for.
func TestOperationsInWords(t *testing.T) {
	dir := dev(t, operationsNode(t))
	r := run(t, "", "operations", "--dev", dir)
	for _, want := range []string{"revoked hmac-90e6c1d2a3b4c5d6 since 2026-12-29 02:31Z", "rolled back 2 -> 1",
		"activated 1 -> 2", "froze shard lab-7",
		"registered hmac-90e6c1d2a3b4c5d6 of lab 7 until 2026-12-29 02:31Z", "published policy abababababab"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	if r.err != "6 rows\n" {
		t.Errorf("%q", r.err)
	}
	for args, want := range map[string]string{
		"--last 2":                     "12 11",
		"--reverse --actor alice":      "12 11 8 3",
		"--limit 4":                    "3 5 8 9",
		"--from-seq 6 --to-seq 9":      "8 9",
		"--until 2026-01-02T03:00:09Z": "3 5 8",
		"--kind frozen":                "11",
		"--actor nobody":               "",
		"--since 2026-01-02T03:00:12Z": "12",
	} {
		r := run(t, "", append([]string{"operations", "-o", "ndjson", "--dev", dir}, strings.Fields(args)...)...)
		var seqs []string
		for line := range strings.Lines(r.out) {
			seqs = append(seqs, strings.TrimPrefix(strings.SplitN(line, ",", 2)[0], `{"seq":`))
		}
		if got := strings.Join(seqs, " "); got != want || r.code != exitOK ||
			(want == "") != strings.Contains(r.err, "0 rows: ") {
			t.Errorf("%s: %s, want %s; %+v", args, got, want, r)
		}
	}
	for args, want := range map[string]string{
		"--kind bogus":                     "generation_activated",
		"--last 1 --limit 1":               "not both",
		"--from-seq 9 --to-seq 8":          "below",
		"--follow --reverse":               "forward",
		"--since today --until 2026-01-01": "nothing can be between",
		"--follow -o json":                 "ndjson",
	} {
		if r := run(t, "", append([]string{"operations", "--dev", dir},
			strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestApprovalInWords: an approval repeats the request once, and no ids of 64 digits.
func TestApprovalInWords(t *testing.T) {
	got := operationText(wire.OperationItem{
		Kind: "act_approved",
		About: map[string]any{
			"act_op_id": "fix-7",
			"act":       "apply",
			"request":   "apply policy " + strings.Repeat("ab", 32) + " to new submissions",
		},
	})
	if want := "approved fix-7: apply policy abababababab to new submissions"; got != want {
		t.Errorf("%q", got)
	}
}

// TestOperationsFollow goes on with what is added and ends when it is interrupted.
func TestOperationsFollow(t *testing.T) {
	n := operationsNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, looks := n.override, 0
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if looks++; looks < 4 {
			return first(w, r)
		}
		answer(w, wire.OperationsPage{
			Items: []wire.OperationItem{{
				Seq:     20,
				Kind:    "thawed",
				LogTime: "2026-01-02T03:04:05Z",
				About:   map[string]any{"scope": "all"},
			}},
			AppliedSeq: 20,
		})
		cancel()
		return true
	}
	var out strings.Builder
	a := &app{in: strings.NewReader(""), out: &out, err: &strings.Builder{}, env: func(string) string { return "" }}
	if code := a.run(ctx, []string{"operations", "--follow", "-o", "ndjson", "--dev", dev(t, n)}); code != exitOK ||
		strings.Count(out.String(), "\n") < 6 {
		t.Errorf("%d\n%s", code, out.String())
	}
}

// TestEmptyListsSayWhy: nothing found is told on stderr with a reason, and never a header alone or one before an error.
func TestEmptyListsSayWhy(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/audit" && r.URL.Query().Get("shard") == "broken" {
			answer(w, wire.NewProblem(wire.CodeInternal, "the disk is on fire"))
			return true
		}
		for path, empty := range map[string]any{
			"/v1/audit":        wire.AuditPage{Items: []wire.AuditItem{}},
			"/v1/operations":   wire.OperationsPage{Items: []wire.OperationItem{}},
			"/v1/keys":         wire.KeysPage{},
			"/v1/shards":       wire.ShardsPage{},
			"/v1/freezes":      wire.FreezesPage{},
			"/v1/known-shards": wire.KnownShardsPage{},
			"/v1/approvals":    wire.ApprovalsPage{},
		} {
			if r.URL.Path == path {
				answer(w, empty)
				return true
			}
		}
		return false
	}
	dir := dev(t, n)
	for args, want := range map[string]string{
		"audit":                    "nothing was submitted",
		"audit --key bogus":        `no key "bogus" is registered; "recount key list"`,
		"audit --shard nosuch":     `no submission for shard "nosuch"`,
		"audit --outcome refused":  "leave out a filter",
		"operations":               "no operator has done",
		"operations --kind frozen": "in this selection",
		"key list":                 "no key is registered",
		"shard list":               "no shard is known",
		"freezes":                  "nothing was ever frozen",
		"shard known list":         "recount shard known add",
		"approve list":             "nothing waits",
	} {
		for _, format := range []string{"table", "json", "ndjson"} {
			r := run(t, "", append(strings.Fields(args), "--dev", dir, "-o", format)...)
			if r.code != exitOK || !strings.HasPrefix(r.err, "0 rows: ") || !strings.Contains(r.err, want) ||
				(format != "json") != (r.out == "") {
				t.Errorf("%s -o %s: %+v", args, format, r)
			}
		}
		if r := run(t, "", append(strings.Fields(args), "--dev", dir, "-q")...); r.err != "" {
			t.Errorf("%s -q: %+v", args, r)
		}
	}
	if r := run(t, "", "audit", "--shard", "broken", "--dev", dir); r.code == exitOK || r.out != "" {
		t.Errorf("%+v", r)
	}
	for args, want := range map[string]string{
		"audit --outcome bogus":    "accepted, escalated, refused or conflict",
		"audit --reason bogus":     "d_hat_mismatch",
		"audit --last 2 --limit 2": "not both",
	} {
		if r := run(t, "", append(strings.Fields(args), "--dev", dir)...); r.code != exitUsage ||
			!strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestFreezeOfANewShard: a shard that nobody has submitted for is frozen, and the responder is told that it may
// be a slip.
func TestFreezeOfANewShard(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/v1/freezes":
			answer(w, wire.FreezeAnswer{Scope: wire.FreezeShard, Subject: "lab", Seq: 7})
		case "/v1/shards/lab-7":
			answer(w, wire.ShardAnswer{ShardID: "lab-7", Submissions: 3})
		case "/v1/shards/lab-77":
			answer(w, wire.NewProblem(wire.CodeNotFound, ""))
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for shard, told := range map[string]bool{"lab-7": false, "lab-77": true} {
		if r := run(t, "", "freeze", "--shard", shard, "--reason", "x", "--dev", dir); r.code != exitOK ||
			strings.Contains(r.err, "nothing was ever submitted for shard") != told {
			t.Errorf("%s: %+v", shard, r)
		}
	}
}
