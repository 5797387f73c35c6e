package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestEmptyFlags gives every text flag of every command an empty value, as an unset variable of a shell does:
// wrong usage, with the flag's name, and no node is asked. Read as "not given" it would widen a freeze of one
// shard to everything.
func TestEmptyFlags(t *testing.T) {
	n := newNode(t)
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("a node was asked: %s %s", r.Method, r.URL)
		return false
	}
	dir := dev(t, n)
	t.Chdir(t.TempDir())
	tried := 0
	root := (&app{env: os.Getenv}).root()
	commands := root.Commands()
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Commands()...)
		flags := pflag.NewFlagSet("all", pflag.ContinueOnError)
		flags.AddFlagSet(c.Flags())
		flags.AddFlagSet(c.InheritedFlags())
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() != "string" && f.Value.Type() != "stringArray" && f.Value.Type() != "stringSlice" {
				return
			}
			for _, value := range []string{"", " "} {
				tried++
				args := append(strings.Fields(c.CommandPath())[1:], "--dev", dir, "--"+f.Name+"="+value)
				refusedByName(t, args, "--"+f.Name+" is given without a value")
			}
		})
	}
	if tried < 600 {
		t.Errorf("only %d flags", tried)
	}
	for _, args := range [][]string{{"get", ""}, {"event", " "}, {"key", "revoke", ""}, {"token", "revoke", ""},
		{"policy", "apply", ""}, {"shard", "known", "add", "a", ""}, {"submit", ""}, {"generation", "drop", ""}} {
		if r := run(t, "", append(args, "--dev", dir)...); r.code != exitUsage || !strings.Contains(r.err, "is empty") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if made, err := filepath.Glob("*"); err != nil || len(made) != 0 {
		t.Errorf("something was made: %v %v", made, err)
	}
}

// refusedByName gives a command so many arguments as it needs and wants to be told of the flag.
func refusedByName(t *testing.T, args []string, want string) {
	t.Helper()
	var last ran
	for range 4 {
		if last = run(t, "", args...); last.code != exitUsage {
			break
		}
		if strings.Contains(last.err, want) {
			return
		}
		args = append(slices.Clone(args), "7")
	}
	t.Errorf("%v: %+v", args, last)
}

// TestMomentsAtTheEdge: the zero time means "no bound" inside, so it is refused rather than taken for none.
func TestMomentsAtTheEdge(t *testing.T) {
	n := newNode(t)
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("a node was asked: %s %s", r.Method, r.URL)
		return false
	}
	dir := dev(t, n)
	key := write(t, filepath.Join(t.TempDir(), "key"), testHMAC)
	for _, at := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1969-01-01T00:00:00Z",
		"2026-11-29T02:00:00,5Z", "2026-11-29T2:00:00Z", "90000d"} {
		for _, args := range [][]string{{"audit", "--since", at}, {"audit", "--until", at},
			{"operations", "--since", at}, {"key", "revoke", "k", "--since", at},
			{"incident", "key", "k", "--since", at}, {"key", "add", "--hmac-key-file", key, "--not-after", at},
			{"key", "add", "--hmac-key-file", key, "--not-before", at}} {
			if r := run(t, "", append(args, "--dev", dir)...); r.code != exitUsage || !strings.Contains(r.err, at) {
				t.Errorf("%v: %+v", args, r)
			}
		}
	}
}
