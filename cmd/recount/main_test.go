package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	someID   = "65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5"
	testHMAC = "TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0="
)

// ran holds the exit code and the output of one command line.
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
		"get":               "get " + someID,
		"get-history":       "get " + strings.Repeat("0f", 32),
		"get-json":          "get -o json " + someID,
		"get-given":         "get " + strings.Repeat("0f", 32) + " --history -o wide",
		"get-given-json":    "get " + strings.Repeat("0f", 32) + " --history -o json",
		"shards":            "shard list",
		"shards-silent":     "shard list --silent 1h",
		"shards-ndjson":     "shard list -o ndjson",
		"shard":             "shard show shard-002",
		"event":             "event 42",
		"audit":             "audit",
		"audit-ndjson":      "audit -o ndjson",
		"audit-json":        "audit -o json --limit 2",
		"digest":            "digest",
		"digest-json":       "digest -o json",
		"cluster":           "cluster status",
		"cluster-all-views": "cluster status --all-views",
		"cluster-ndjson":    "cluster status -o ndjson",
		"version":           "version",
		"tail":              "tail --limit 2",
		"tail-ndjson":       "tail --limit 1 --from-seq 3 -o ndjson",
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
		{exitUsage, "table, wide, json or ndjson", []string{"shard", "list", "-o", "xml", "--dev", dir}},
		{exitUsage, "https://host:port", []string{"shard", "list", "--endpoint", "localhost"}},
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
		{exitUnknown, "Submit the same file again",
			[]string{"submit", good, "--dev", dev(t, cut), "--timeout", "1500ms"}},
		{exitVerify, "differ at seq 42", []string{"digest", "--dev", dev(t, n, other)}},
		{exitFailed, "--ca FILE", []string{"shard", "list", "--endpoint", n.server.URL}},
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
