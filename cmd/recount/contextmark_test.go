package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestMarkedContext: what asks a marked context says so on stderr once, in its colour, and confirmations ask with it.
func TestMarkedContext(t *testing.T) {
	c := newCluster(t, "x")
	operations := 0
	c.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPost:
			operations++
			answer(w, wire.TokenAnswer{ID: "abcdefghij234567", State: "revoked"})
		case r.URL.Path == "/v1/tokens":
			answer(w, wire.TokensPage{
				Node:  "node-1",
				Items: []wire.TokenAnswer{{ID: "abcdefghij234567", Name: "alice", Role: "auditor", State: "active"}},
			})
		default:
			return false
		}
		return true
	}
	env := map[string]string{"XDG_CONFIG_HOME": t.TempDir()}
	must := func(args string) ran {
		t.Helper()
		r := runEnv(t, env, "", strings.Fields(args)...)
		if r.code != exitOK {
			t.Errorf("%s: %+v", args, r)
		}
		return r
	}
	must("context add prod --dev " + c.dir + " --production")
	must("context add try --dev " + c.dir)
	if r := must("context list"); !strings.Contains(r.out, "production") {
		t.Error(r.out)
	}
	for args, want := range map[string]string{
		"digest":                      "the current context prod, production\n",
		"digest --color always":       "the current context \x1b[31mprod\x1b[0m, \x1b[31mproduction\x1b[0m\n",
		"digest --context prod":       "--context prod, production\n",
		"digest --context try":        "",
		"digest -q":                   "",
		"token revoke abcdefgh --yes": "cluster dev, node-1 (the current context prod, production)\n",
	} {
		r := must(args)
		if got := strings.ReplaceAll(r.err, "1 row\n", ""); got != want && !strings.HasPrefix(got, want+"1 ") {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	must("context mark try --mark-colour red")
	if r := must("digest --context try --color always -o json"); !json.Valid([]byte(r.out)) ||
		!strings.HasPrefix(r.err, "--context \x1b[31mtry\x1b[0m\n") {
		t.Errorf("%+v", r)
	}
	must("context mark try")
	if r := must("context show try -o json"); strings.Contains(r.out, "colour") {
		t.Error(r.out)
	}
	var out, errs bytes.Buffer
	a := &app{
		in:       strings.NewReader("abcdefghij234567\n"),
		out:      &out,
		err:      &errs,
		env:      func(name string) string { return env[name] },
		terminal: func() bool { return true },
	}
	before := operations
	if code := a.run(t.Context(), strings.Fields("token revoke abcdefgh")); code != exitOK || operations != before+1 ||
		!strings.Contains(errs.String(), "[prod, production] This cannot be undone.") {
		t.Errorf("%d %d %s", code, operations, errs.String())
	}
	for _, bad := range []string{"context mark nowhere", "context mark prod --mark-colour mauve",
		"context add x --dev " + c.dir + " --mark-colour mauve"} {
		if r := runEnv(t, env, "", strings.Fields(bad)...); r.code != exitUsage {
			t.Errorf("%s: %+v", bad, r)
		}
	}
	write(t, filepath.Join(env["XDG_CONFIG_HOME"], "recount", "config.yaml"),
		"contexts:\n  a: {dev: /x, colour: mauve}\n")
	if r := runEnv(t, env, "", "context", "list"); r.code != exitUsage ||
		!strings.Contains(r.err, `colour "mauve": must be one of green, red, yellow`) {
		t.Errorf("%+v", r)
	}
}

// TestLinesNameTheContext: a line to paste names the context that was asked, also the current one, which may be
// another by then.
func TestLinesNameTheContext(t *testing.T) {
	dir := dev(t, newNode(t))
	config := t.TempDir() + "/contexts.yaml"
	env := func(name string) string { return map[string]string{envConfig: config}[name] }
	add := &app{env: env, in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if code := add.run(t.Context(), []string{"context", "add", "prod", "--dev", dir}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	for _, a := range []*app{{env: env}, {env: env, contextName: "prod"}} {
		p, err := a.find()
		if err != nil {
			t.Fatal(err)
		}
		a.place = p
		if line := a.commandLine("recount thaw", "--reason",
			"x y"); line != "recount thaw --reason 'x y' --context prod" {
			t.Errorf("%s", line)
		}
	}
}
