package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestWordsOfARefusedCredential: the node tells nothing, but this tool knows whether a token was given and
// whether it is one.
func TestWordsOfARefusedCredential(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		answer(w, wire.NewProblem(wire.CodeUnauthorized, ""))
		return true
	}
	dir, files := dev(t, n), t.TempDir()
	whole, id, err := wire.NewToken(wire.RoleAuditor)
	if err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"No token was given (--dev " + dir + ")": nil,
		"is no token, or a part of one": {"--token-file",
			write(t, filepath.Join(files, "part"), whole[:40])},
		"does not know the token " + id + " of " + files +
			"/whole, or": {"--token-file", write(t, filepath.Join(files, "whole"), whole)},
	} {
		r := run(t, "", append(append([]string{"audit"}, args...), "--dev", dir)...)
		if r.code != exitRejected || !strings.Contains(r.err, says) || strings.Contains(r.err, whole) {
			t.Errorf("%v: %+v", args, r)
		}
		r = run(t, "", append(append([]string{"cluster", "status"}, args...), "--dev", dev(t, n, n))...) // many answers
		if r.code != exitRejected || args != nil && !strings.Contains(r.err, says) {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// TestWordsOfWhatIsNotThere: the hint lists things of the kind that was asked for, and nothing else.
func TestWordsOfWhatIsNotThere(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
		return true
	}
	dir := dev(t, n)
	for args, hint := range map[string]string{
		"get " + someID:                           "recount audit --pcs " + someID[:16],
		"event 7":                                 "recount digest",
		"shard show x":                            "recount shard list",
		"key show hmac-0123456789abcdef":          "recount key list",
		"generation status 9":                     "recount generation list",
		"policy show " + strings.Repeat("ab", 32): "recount policy list",
		"token revoke abcdefghij234567 --yes":     "recount token list",
		"thaw --reason x":                         "recount freeze list",
	} {
		r := run(t, "", append(strings.Fields(args), "--dev", dir)...)
		if r.code != exitNotFound || !strings.Contains(r.err, `"`+hint+`"`) || strings.Count(r.err, `"recount `) != 1 {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestExplain(t *testing.T) {
	for args, says := range map[string]string{
		"stale":                          "State has changed",
		"STALE":                          "State has changed",
		"op_id_reused":                   "under another op_id",
		"/problems/no-leader":            "No leader",
		"https://a:1/problems/too-large": "Body too large",
		"507":                            "Not enough disk space",
		"409":                            "approval_needed",
		"":                               "outcome_unknown",
	} {
		if r := run(t, "", append([]string{"explain"}, strings.Fields(args)...)...); r.code != exitOK ||
			!strings.Contains(r.out, says) || r.err != "" && !strings.Contains(r.err, "rows") {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := run(t, "", "explain", "stal"); r.code != exitNotFound ||
		!strings.Contains(r.err, `did you mean "stale"?`) || !strings.Contains(r.err, "no_leader") {
		t.Errorf("%+v", r)
	}
	var e explained
	if r := run(t, "", "explain", "outcome-unknown", "-o", "json"); json.Unmarshal([]byte(r.out), &e) != nil ||
		e.Exit != exitUnknown || e.Status != 504 {
		t.Errorf("%+v", r)
	}
	for _, info := range wire.Codes() {
		if r := run(t, "", "explain", string(info.Code), "-o", "json"); r.code != exitOK ||
			!strings.Contains(r.out, string(info.Code)) {
			t.Errorf("%s: %+v", info.Code, r)
		}
	}
}

// TestProblemsPointToExplain and not to a page that no command fetches.
func TestProblemsPointToExplain(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, _ *http.Request) bool {
		answer(w, wire.NewProblem(wire.CodeFarBehind, ""))
		return true
	}
	if r := run(t, "", "shard", "list", "--dev", dev(t, n)); !strings.Contains(r.err, `"recount explain far_behind"`) {
		t.Errorf("%+v", r)
	}
}

// A busy machine must not add words to what other tests compare.
func init() { slowAfter = time.Hour }

// TestSlowAnswersAreSaid: nobody is left without a word while a node does not answer.
func TestSlowAnswersAreSaid(t *testing.T) {
	defer func(d time.Duration) { slowAfter = d }(slowAfter)
	slowAfter = 20 * time.Millisecond
	hangs, over := newNode(t), make(chan struct{})
	hangs.override = func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // to return is to answer 200 with nothing
		case <-over:
		}
		return true
	}
	t.Cleanup(func() { close(over) })
	one, two := dev(t, hangs), dev(t, hangs, hangs)
	if r := run(t, "", "audit", "--dev", one, "--timeout", "200ms"); r.code != exitUnavailable ||
		!strings.Contains(r.err, "asking "+hangs.server.URL+" (") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "audit", "--dev", two, "--timeout", "200ms"); r.code != exitUnavailable ||
		!strings.Contains(r.err, " of 2, ") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "audit", "--dev", one, "--timeout", "200ms", "-q"); r.code != exitUnavailable ||
		strings.Contains(r.err, "asking") {
		t.Errorf("%+v", r)
	}
	slowAfter = time.Hour
	if r := run(t, "", "audit", "--dev", dev(t, newNode(t))); r.code != exitOK || strings.Contains(r.err, "asking") {
		t.Errorf("%+v", r)
	}
}
