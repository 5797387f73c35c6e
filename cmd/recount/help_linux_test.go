package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/test/pty"
)

// TestHelpOnATerminal: help is wrapped for the width that the terminal reports.
func TestHelpOnATerminal(t *testing.T) {
	for _, line := range []string{"--help", "policy --help", "help audit"} {
		pty.CheckHelp(t, line, func(screen *os.File) error {
			var errs bytes.Buffer
			a := &app{in: strings.NewReader(""), out: screen, err: &errs, env: noEnv}
			if code := a.run(t.Context(), strings.Fields(line)); code != exitOK {
				return fmt.Errorf("exit code %d: %s", code, errs.String())
			}
			return nil
		})
	}
}

// TestBenchOnATerminal: a load test shows a bar with the rate and the time to go, and takes it away at the end.
func TestBenchOnATerminal(t *testing.T) {
	screen, shown := pty.Open(t, 120)
	args := benchArgs(t, dev(t, newNode(t)), "--rate 100 --yes --duration 2s")
	var out bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: screen, env: noEnv}
	if code := a.run(t.Context(), args); code != exitOK || !strings.Contains(out.String(), "due to taken") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if got := shown(); !strings.Contains(got, " taken, ") || !strings.Contains(got, "1s to go") {
		t.Errorf("%q", got)
	}
}

// TestMarkHeedsNoColor: on a terminal the name of a marked context has its colour, unless NO_COLOR says no.
func TestMarkHeedsNoColor(t *testing.T) {
	c := newCluster(t, "x")
	home := t.TempDir()
	if r := runEnv(t, map[string]string{"XDG_CONFIG_HOME": home}, "", "context", "add", "prod", "--dev", c.dir,
		"--mark-colour", "yellow"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for no, want := range map[string]string{
		"":  "the current context \x1b[33mprod\x1b[0m\n",
		"1": "the current context prod\n",
	} {
		screen, shown := pty.Open(t, 80)
		env := map[string]string{"XDG_CONFIG_HOME": home, "NO_COLOR": no, "TERM": "xterm"}
		var out bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: screen, env: func(name string) string { return env[name] }}
		if code := a.run(t.Context(), []string{"shard", "list"}); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		if got := shown(); !strings.HasPrefix(got, want) {
			t.Errorf("NO_COLOR=%s: %q, want %q", no, got, want)
		}
	}
}
