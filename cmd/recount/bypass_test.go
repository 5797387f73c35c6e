package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/wire"
)

// bypassed answers like a node whose verifier lets everything in, and counts the operations that reach it.
func bypassed(t *testing.T) (dir string, done *[]string) {
	t.Helper()
	n, _ := recountNode(t)
	done = new([]string)
	inner := n.override
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/pcs/"):
			answer(w, okAnswer(someID, canary.Shard, 1, 7))
			return true
		case r.Method != http.MethodGet:
			*done = append(*done, r.URL.Path)
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/freezes":
			answer(w, wire.FreezesPage{
				Items: []wire.FreezeAnswer{{Scope: wire.FreezeShard, Subject: "lab-1", Seq: 3},
					{Scope: wire.FreezeAll, Seq: 4, ThawedSeq: 5}},
			})
		case "GET /v1/audit":
			answer(w, wire.AuditPage{Items: []wire.AuditItem{}, Generation: 1})
		case "POST /v1/freezes":
			answer(w, wire.FreezeAnswer{Scope: wire.FreezeAll, Seq: 51, Reason: "let through"})
		case "GET /v1/operations":
			answer(w, wire.OperationsPage{
				Items: []wire.OperationItem{{
					Seq:     12,
					LogTime: "2026-01-02T03:04:05Z",
					Actor:   "mallory",
					Kind:    "policy_applied",
					About:   map[string]any{"policy": strings.Repeat("ab", 32)},
				}},
			})
		default:
			return inner(w, r)
		}
		return true
	}
	return dev(t, n), done
}

// TestIncidentBypassAsks: nothing is done by a command that is wrong, that nobody confirms, or that is a dry run.
func TestIncidentBypassAsks(t *testing.T) {
	t.Chdir(t.TempDir())
	bad := write(t, filepath.Join(t.TempDir(), "bad.yaml"), "kernel: 9\n")
	fix := write(t, filepath.Join(t.TempDir(), "fix.yaml"), "signature: {profiles: [f9]}\n")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "--reason is required"},
		{"--reason x --fix " + bad, exitRejected, "Nothing was done"},
		{"--reason x --fix nosuch.yaml", exitUsage, "nosuch.yaml"},
		{"--reason x --fix " + fix + " --policy abababab", exitUsage, "not both"},
		{"--reason x --since never", exitUsage, "--since"},
		{"--reason x --out /dev/null/x", exitUsage, "nothing was done"},
		{"--reason x", exitUsage, "freezes new submissions, and nobody is at a terminal"},
		{"--reason x --dry-run", exitOK, "Without --dry-run: freeze new submissions."},
	} {
		dir, done := bypassed(t)
		r := run(t, "", append(append([]string{"incident", "bypass"}, strings.Fields(c.args)...), "--dev", dir)...)
		if r.code != c.code || !strings.Contains(r.err, c.says) || len(*done) > 0 {
			t.Errorf("%s: %+v %v", c.args, r, *done)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("files of nothing: %v %v", left, err)
	}
}

// TestIncidentBypassWantsDangersMeant: a fix with a hole of its own is not published by a slip.
func TestIncidentBypassWantsDangersMeant(t *testing.T) {
	t.Chdir(t.TempDir())
	lax := write(t, filepath.Join(t.TempDir(), "lax.yaml"), "signature: {required: false}\n")
	dir, done := bypassed(t)
	r := onTerminal(t, "freeze\nno\n", "incident", "bypass", "--reason", "x", "--fix", lax, "--dev", dir)
	if r.code != exitFailed || !strings.Contains(r.err, "unsigned records pass") ||
		strings.Join(*done, " ") != "/v1/freezes" {
		t.Errorf("%+v %v", r, *done)
	}
}

// TestIncidentBypassFreezes when somebody types so, shows who opened the hole, and says how to go on.
func TestIncidentBypassFreezes(t *testing.T) {
	t.Chdir(t.TempDir())
	for typed, code := range map[string]int{"": exitFailed, "yes\n": exitFailed, "freeze\n": exitOK} {
		dir, done := bypassed(t)
		r := onTerminal(t, typed, "incident", "bypass", "--reason", "it's open", "--since", "2026-01-01", "--dev", dir)
		if r.code != code || (len(*done) == 1) != (code == exitOK) ||
			!strings.Contains(r.err, "Agents get 503 from then on, until somebody thaws. Type freeze to go on: ") {
			t.Errorf("typed %q: %+v %v", typed, r, *done)
		}
		if code != exitOK {
			continue
		}
		for _, want := range []string{"8 of 8 let through", "Frozen after event 51", "mallory",
			"put policy abababababab in force", "recount policy new --dev " + dir + " > fix.yaml\n",
			`recount incident bypass --reason 'it'\''s open' --fix fix.yaml --dev ` + dir + "\n"} {
			if !strings.Contains(r.out+r.err, want) {
				t.Errorf("no %q in\n%s%s", want, r.out, r.err)
			}
		}
		if _, err := os.Stat("incident-bypass-51-frozen/index.html"); err != nil {
			t.Error(err)
		}
	}
}
