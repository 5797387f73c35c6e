package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// longNode answers every list with more than fits: ids in full, names of 128 bytes, hostile characters and
// large numbers.
func longNode(t *testing.T) *node {
	n := newNode(t)
	shard := "lab-7-" + strings.Repeat("x", 116) + "\x1b[31m字"
	reason, id, key, at := strings.Repeat("the agent sends nonsense ", 12), someID, "hmac-0123456789abcdef",
		"2026-01-02T03:04:05.123456789Z"
	seq, lag, epoch := uint64(123_456_789), uint64(1234), int64(987_654)
	refused := wire.FlipSide{Outcome: "refused", ReasonCode: "signature_scheme_not_allowed"}
	g := wire.GenerationAnswer{
		Generation: 12,
		State:      wire.GenerationReady,
		Policy:     id,
		Keys:       wire.KeysHindsight,
		StartedSeq: seq,
		Activated:  []uint64{seq, seq + 1},
		Actor:      "night-shift@example.org",
		Reason:     reason,
		Position:   seq,
		Agree:      true,
		Nodes: []wire.NodeProgress{{
			Node:      "node-1.eu-west.example.org",
			State:     "following",
			Seq:       seq,
			Compared:  seq,
			Committed: seq,
			Rate:      123456,
			DiffAt:    id + id,
		},
			{Node: "node-2", State: "unreachable", ETA: -1, Why: reason}},
	}
	members := []wire.Member{{
		ID:           "node-1",
		API:          "https://node-1.eu-west.recount.example.org:9440",
		Suffrage:     "voter",
		CommittedSeq: &seq,
		AppliedSeq:   &seq,
		Lag:          &lag,
		State:        "leader",
	},
		{
			ID:       "node-2.eu-west.recount.example.org",
			API:      "https://node-2.eu-west.recount.example.org:9440",
			Suffrage: "nonvoter",
			State:    "unreachable",
		}}
	answers := map[string]any{
		"/v1/audit": wire.AuditPage{
			AppliedSeq: seq,
			Items: []wire.AuditItem{{
				Seq:        seq,
				LogTime:    at,
				Status:     200,
				Outcome:    "accepted",
				Accepted:   true,
				ReasonCode: "ok",
				ShardID:    "alpha",
				Epoch:      epoch,
				PCSID:      id,
				KeyID:      key,
			},
				{
					Seq:        seq + 1,
					LogTime:    at,
					Status:     403,
					Outcome:    "refused",
					ReasonCode: "signature_scheme_not_allowed",
					ShardID:    shard,
					PCSID:      id,
					KeyID:      "ed-0123456789abcdef",
				}},
		},
		"/v1/operations": wire.OperationsPage{AppliedSeq: seq, Items: []wire.OperationItem{
			{
				Seq:     seq,
				LogTime: at,
				Kind:    "key_revoked",
				Effect:  "applied",
				Actor:   "night-shift@example.org",
				Role:    "responder",
				Reason:  reason,
				Ticket:  "INC-7",
				About:   map[string]any{"key_id": key, "since": "1767323045123456789"},
			},
			{
				Seq:     seq + 1,
				LogTime: at,
				Kind:    "frozen",
				Effect:  "repeated",
				Actor:   "bob",
				Role:    "operator",
				About:   map[string]any{"scope": "shard", "subject": shard},
			}}},
		"/v1/approvals": wire.ApprovalsPage{
			Items: []wire.ApprovalAnswer{{
				OpID:      "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
				Name:      "activate",
				Request:   "generation 2 instead of 1, diff " + id,
				Actors:    []string{"alice@example.org"},
				ExpiresAt: at,
				Reason:    reason,
				Ticket:    "INC-7",
			}},
		},
		"/v1/policies": wire.PoliciesPage{
			Items: []wire.PolicyAnswer{{
				ID:      id,
				Seq:     seq,
				At:      at,
				Kernel:  1,
				Rules:   17,
				InForce: true,
				Actor:   "night-shift@example.org",
				Reason:  reason,
				Intervals: []wire.PolicyInterval{{
					FromSeq:    seq,
					From:       at,
					ToSeq:      seq + 1,
					To:         at,
					By:         wire.ByRolledBack,
					Generation: 12,
					Actor:      "night-shift@example.org",
					Reason:     reason,
					Ticket:     "INC-7",
				}},
			}},
		},
		"/v1/generations":   wire.GenerationsPage{Items: []wire.GenerationAnswer{g}},
		"/v1/generations/2": g,
		"/v1/generations/2/diff": wire.DiffAnswer{
			Generation: 2,
			Against:    1,
			Position:   seq,
			Flips:      2,
			ByShard:    map[string]int{shard: 1, "alpha": 1},
			Digest:     strings.Repeat("0", 80),
		},
		"/v1/generations/2/flips": wire.FlipsPage{
			Items: []wire.Flip{{
				Seq:         seq,
				PCSID:       id,
				ShardID:     shard,
				Epoch:       epoch,
				KeyID:       key,
				Cause:       "indirect",
				CausedBySeq: seq - 1,
				Old:         wire.FlipSide{Outcome: "escalated"},
				New:         refused,
			}},
		},
		"/v1/keys": wire.KeysPage{
			Items: []wire.KeyAnswer{{
				KeyID:    key,
				Status:   "revoked",
				Owner:    "lab 7 " + strings.Repeat("é", 60),
				Scope:    []string{shard, "lab-7-*"},
				NotAfter: at,
				LastUsed: at,
				Comment:  reason,
			}},
		},
		"/v1/shards": wire.ShardsPage{
			Items: []wire.ShardAnswer{{
				ShardID:     shard,
				Epoch:       &epoch,
				Submissions: seq,
				Accepted:    seq,
				Refused:     12345,
				LastSeq:     seq,
				LastAt:      at,
			},
				{ShardID: "alpha", Submissions: 1, LastAt: at}},
		},
		"/v1/freezes": wire.FreezesPage{
			Items: []wire.FreezeAnswer{{
				Scope:   "shard",
				Subject: shard,
				Seq:     seq,
				At:      at,
				Reason:  reason,
				Ticket:  "INC-7",
				Actor:   "alice",
			}, {Scope: "all", At: at, Seq: 1, ThawedSeq: 2, Reason: "x"}},
		},
		"/v1/known-shards": wire.KnownShardsPage{
			Items: []wire.KnownShardsAnswer{{
				Seq:      seq,
				At:       at,
				Patterns: []string{shard, "b"},
				Actor:    "alice",
				Ticket:   "INC-7",
			}},
		},
		"/v1/tokens": wire.TokensPage{
			Node: "node-1",
			Items: []wire.TokenAnswer{{
				ID:        "abcdefghij234567",
				Name:      "night-shift@example.org",
				Role:      "responder",
				State:     "expired",
				Source:    "log",
				ExpiresAt: at,
				CreatedBy: "root@example.org",
				LastUsed:  at,
			}},
		},
		"/v1/cluster": wire.ClusterAnswer{
			ClusterID: "dev-bd44255b5ea12135",
			Leader:    "node-1",
			Term:      1234,
			Members:   members,
		},
		"/version": wire.VersionAnswer{
			Version:   "v1.2.3-rc.4+build.5",
			Go:        "go1.26.4",
			Node:      "node-1",
			ClusterID: "dev-bd44255b5ea12135",
			Kernels:   []int{1, 2, 3},
		},
		"/v1/digest": wire.DigestAnswer{Seq: seq, Generation: 12, Log: id, State: id, Control: id},
	}
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if v, ok := answers[r.URL.Path]; ok {
			answer(w, v)
			return true
		}
		if r.URL.Path == "/v1/audit/stream" {
			n.stream(w, answers["/v1/audit"].(wire.AuditPage).Items)
			return true
		}
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("[-]applied failed: 123456 events behind the end of the log\n"))
			return true
		}
		return false
	}
	return n
}

var anyPort = regexp.MustCompile(`https://127\.0\.0\.1:\d+`)

// TestTablesFit prints every table with content that is too long, at two widths. No line is longer than the
// screen, all rows are there, and the pictures in testdata/tables are what a person sees.
func TestTablesFit(t *testing.T) {
	dir := dev(t, longNode(t))
	good := write(t, filepath.Join(t.TempDir(), "good.yaml"), "signature: {profiles: [f9]}\n")
	for name, args := range map[string]string{
		"audit":             "audit",
		"tail":              "tail --limit 2",
		"operations":        "operations",
		"approve-list":      "approve list",
		"policy-list":       "policy list",
		"policy-history":    "policy history",
		"generation-list":   "generation list",
		"generation-status": "generation status 2",
		"generation-diff":   "generation diff 2 --by shard",
		"generation-flips":  "generation diff 2 --list",
		"keys-list":         "key list",
		"shards":            "shard list",
		"freezes":           "freezes",
		"known-shards":      "shard known list",
		"token-list":        "token list",
		"cluster-status":    "cluster status",
		"cluster-views":     "cluster status --all-views",
		"digest":            "digest",
		"version":           "version",
		"policy-diff":       "policy diff ../../testdata/policies/default.yaml " + good,
		"policy-test": "policy test ../../testdata/policies/tighter-tolerance.yaml --records " +
			"../../testdata/good-hmac.ndjson --list",
	} {
		for _, width := range []int{80, 120} {
			r := run(t, "", append(strings.Fields(args), "--dev", dir, "--width", fmt.Sprint(width))...)
			if r.code != exitOK || strings.Count(r.out, "\n") < 2 {
				t.Errorf("%s: %+v", name, r)
			}
			for line := range strings.Lines(tableOf(name, r.out)) {
				if n := term.Width(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: a line of %d columns on a screen of %d:\n%s", name, n, width, line)
				}
			}
			if name == "version" {
				continue // as wide as the version of Go
			}
			picture(t, fmt.Sprintf("%s-%d", name, width), r.out)
		}
		if r := run(t, "", append(strings.Fields(args), "--dev", dir, "--color", "always", "-o",
			"wide")...); r.code != exitOK || !strings.Contains(r.out, "\x1b[1m") || strings.Contains(r.out, "…") {
			t.Errorf("%s: wide: %+v", name, r)
		}
		if r := run(t, "", append(strings.Fields(args), "--dev", dir)...); r.code != exitOK ||
			strings.ContainsAny(r.out, "\x1b…") {
			t.Errorf("%s: in a pipe: %+v", name, r)
		}
	}
}

// TestTextsFit: what is printed about one thing is broken at blanks on a screen, and whole in a pipe.
func TestTextsFit(t *testing.T) {
	whole := run(t, "", "explain", "throttled")
	if whole.code != exitOK || strings.Count(whole.out, "\n") != 5 {
		t.Errorf("in a pipe: %+v", whole)
	}
	for _, width := range []int{80, 120} {
		r := run(t, "", "explain", "throttled", "--width", fmt.Sprint(width))
		for line := range strings.Lines(r.out) {
			if n := term.Width(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line of %d columns on a screen of %d:\n%s", n, width, line)
			}
		}
		if got, want := strings.Fields(r.out), strings.Fields(whole.out); !slices.Equal(got, want) {
			t.Errorf("other words at %d columns:\n%s", width, r.out)
		}
	}
}

// tableOf leaves out what is printed about one thing above a table.
func tableOf(name, out string) string {
	switch name {
	case "generation-status":
		_, out, _ = strings.Cut(out, "\n\n")
	case "generation-diff":
		out = out[strings.Index(out, "SHARD "):]
	}
	return out
}

// picture compares with a file byte for byte, unlike golden.
func picture(t *testing.T, name, got string) {
	t.Helper()
	got = anyPort.ReplaceAllStringFunc(got, func(url string) string { // perhaps cut
		return "https://127.0.0.1:" + strings.Repeat("2", len(url)-len("https://127.0.0.1:"))
	})
	got = goVer.ReplaceAllString(got, "goX")
	path := filepath.Join("testdata", "tables", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, got)
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", name, err, got, want)
	}
}

// TestPicturesInTheDocs: docs/cli.md shows tables as they are printed.
func TestPicturesInTheDocs(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	now := regexp.MustCompile("<!-- table: ([a-z0-9-]+) -->\n```\n(?s:.*?)```\n").ReplaceAllStringFunc(string(page),
		func(block string) string {
			shown++
			name := strings.Fields(block)[2]
			text, err := os.ReadFile(filepath.Join("testdata", "tables", name+".txt"))
			if err != nil {
				t.Error(err)
			}
			return "<!-- table: " + name + " -->\n```\n" + string(text) + "```\n"
		})
	if *update {
		write(t, path, now)
	} else if now != string(page) {
		t.Error("docs/cli.md shows other tables than the program prints: go test ./cmd/recount -run " +
			"'TestTablesFit|TestPicturesInTheDocs' -update")
	}
	if shown < 3 {
		t.Errorf("only %d tables", shown)
	}
}
