package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestStartWaitsAndShows: one command starts, waits and shows what changes, with the line that activates it.
func TestStartWaitsAndShows(t *testing.T) {
	n, operations := recountNode(t)
	dir := dev(t, n)
	digest := strings.Repeat("0", 80)
	r := run(t, "", "generation", "start", "--policy", "abababab", "--wait", "--diff", "--dev", dir)
	line := "recount generation activate 2 --diff " + digest + " --dev " + dir
	for _, want := range []string{"compared 20 of 40", "indirect", "conflict->accepted", "\n  " + line + "\n"} {
		if !strings.Contains(r.out+r.err, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	if r.code != exitOK || len(*operations) != 1 {
		t.Errorf("%+v %v", r, *operations)
	}
	var got review
	r = run(t, "", "generation", "start", "--policy", "abababab", "--diff", "-o", "json", "-q", "--dev", dir)
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Generation != 2 || got.Position != 40 ||
		got.Digest != digest || got.Activate != line {
		t.Errorf("%v %+v", err, r)
	}
	r = run(t, "", "generation", "start", "--policy", "abababab", "--wait", "--dev", dir)
	if r.code != exitOK || !strings.Contains(r.out, "compared by all up to") {
		t.Errorf("%+v", r)
	}
}

// TestEnvIsForEval: -o env sets variables to what a person sees on stderr, and what fails unsets them, so that
// the digest of an earlier command passes for no later one.
func TestEnvIsForEval(t *testing.T) {
	n, _ := recountNode(t)
	dir := dev(t, n)
	all := "export GEN=2 POSITION=40 DIGEST=" + strings.Repeat("0", 80) + "\n"
	for _, c := range []struct {
		args string
		code int
		out  string
		says string // on stderr
	}{
		{"generation start --policy abababab --wait --diff -o env", exitOK, all, "conflict->accepted"},
		{"generation diff 2 -o env", exitOK, all, "conflict->accepted"},
		{"generation start --policy abababab -o env", exitOK, "unset POSITION DIGEST; export GEN=2\n", "building"},
		{"generation start --policy abababab --wait -o env", exitOK, "unset POSITION DIGEST; export GEN=2\n",
			"compared by all"},
		{"generation start --policy ffffffff -o env", exitNotFound, "unset GEN POSITION DIGEST; false\n",
			"recount policy list"},
		{"generation diff 7 --output=env", exitNotFound, "unset GEN POSITION DIGEST; false\n",
			"recount generation list"},
		{"generation diff 7 -qo env", exitNotFound, "unset GEN POSITION DIGEST; false\n", "recount generation list"},
		{"generation diff 7 -qoenv", exitNotFound, "unset GEN POSITION DIGEST; false\n", "recount generation list"},
		{"generation diff 7 -qo=env", exitNotFound, "unset GEN POSITION DIGEST; false\n", "recount generation list"},
		{"generation diff 2 --bogus -o env", exitUsage, "unset GEN POSITION DIGEST; false\n", "unknown flag"},
		{"policy publish ../../testdata/policies/default.yaml -o env", exitOK,
			"export POLICY=" + strings.Repeat("ab", 32) + "\n", "in force"},
		{"policy publish nosuch.yaml -oenv", exitUsage, "unset POLICY; false\n", "nosuch.yaml"},
		{"generation list -o env", exitUsage, "", "must be table, wide, json or ndjson"},
	} {
		r := run(t, "", append(strings.Fields(c.args), "--dev", dir)...)
		if r.code != c.code || r.out != c.out || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
	r := run(t, "", "generation", "diff", "2", "-o", "env", "-q", "--dev", dir)
	if r.out != all || r.err != "" {
		t.Errorf("%+v", r)
	}
}

// TestShellWords gives hostile texts to a shell, which must get each as one word.
func TestShellWords(t *testing.T) {
	for _, text := range []string{"plain", "two words", "it's", "'; touch x; '", "$(touch x)", "`touch x`", "a\nb",
		"\\", "-n", "~", "*", "ä#!", "a=b;c"} {
		var out bytes.Buffer
		a := &app{vars: &out}
		if err := a.setVars("GONE", "", "WORD", text); err != nil {
			t.Fatal(err)
		}
		shell := exec.Command("sh", "-c", "GONE=1; "+out.String()+`[ -z "${GONE+x}" ] && printf %s "$WORD"`)
		shell.Dir = t.TempDir()
		said, err := shell.CombinedOutput()
		left, _ := os.ReadDir(shell.Dir)
		if err != nil || string(said) != text || len(left) > 0 {
			t.Errorf("%q became %q by %s: %v %v", text, said, out.String(), err, left)
		}
	}
	a := &app{contextName: "prod", endpoints: []string{"https://a:1"}, tokenFile: "my token"}
	if got := a.commandLine("recount thaw", "--reason", "it's over", "--ticket",
		""); got != `recount thaw --reason 'it'\''s over' --context prod --endpoint https://a:1 --token-file 'my token'` {
		t.Error(got)
	}
}

// TestLatestGeneration: --latest is the newest one that neither answers nor was dropped, and the command says
// which one that is.
func TestLatestGeneration(t *testing.T) {
	n := newNode(t)
	page := wire.GenerationsPage{
		Active: 3,
		Items: []wire.GenerationAnswer{{Generation: 1, State: wire.GenerationPrevious, Policy: "aa"},
			{Generation: 2, State: wire.GenerationReady, Policy: "bb", Actor: "alice", Reason: "fix"},
			{Generation: 3, State: wire.GenerationActive}, {Generation: 4, State: wire.GenerationDropped}},
	}
	var asked []string
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/v1/generations":
			answer(w, page)
		case r.URL.Path == "/version":
			return false
		default:
			asked = append(asked, r.Method+" "+r.URL.Path)
			answer(w, wire.NewProblem(wire.CodeNotFound, ""))
		}
		return true
	}
	dir := dev(t, n)
	for args, want := range map[string]string{
		"status --latest":             "GET /v1/generations/2",
		"diff --latest":               "GET /v1/generations/2/diff",
		"activate --latest --diff ab": "POST /v1/generations/2/activate",
		"drop --latest --yes":         "DELETE /v1/generations/2",
	} {
		asked = nil
		r := run(t, "", append(append([]string{"generation"}, strings.Fields(args)...), "--dev", dir)...)
		if len(asked) != 1 || asked[0] != want ||
			!strings.Contains(r.err, "--latest is generation 2: ready, policy bb, started at seq 0 by alice, fix\n") {
			t.Errorf("%s: %v %+v", args, asked, r)
		}
		if r := run(t, "", append(append([]string{"generation"}, strings.Fields(args)...), "5", "--dev",
			dir)...); r.code != exitUsage || !strings.Contains(r.err, "leave out 5") {
			t.Errorf("%s and a number: %+v", args, r)
		}
	}
	if r := run(t, "", "generation", "activate", "--latest", "--dev", dir); r.code != exitUsage ||
		!strings.Contains(r.err, `"recount generation diff --latest"`) {
		t.Errorf("%+v", r)
	}
	page.Items = page.Items[2:]
	if r := run(t, "", "generation", "diff", "--latest", "--dev", dir); r.code != exitNotFound ||
		!strings.Contains(r.err, "no generation beside 3") {
		t.Errorf("%+v", r)
	}
}
