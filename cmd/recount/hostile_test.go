package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/wire"
)

// hostileWords are arguments and values that nobody meant.
var hostileWords = []string{"x", "", " ", "\x00", "\x1b[31m\u202e", "-1", "0", "99999999999999999999999", "../x",
	"%s%n%!d\n;", strings.Repeat("A", 5000)}

// TestHostileArguments gives every command none, one, two, empty and hostile arguments, and every flag of it
// hostile values. Nothing panics, exit codes are those of the documentation, and an error is one line with a
// hint.
func TestHostileArguments(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "deadbeef") {
			_, _ = w.Write([]byte("no JSON"))
			return
		}
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
	}))
	defer server.Close()
	t.Chdir(t.TempDir())
	tried := 0
	try := func(args ...string) {
		tried++
		hostileRun(t, append(args, "--endpoint", server.URL)...)
	}
	for _, c := range everyCommand((&app{env: noEnv}).root()) {
		path := strings.Fields(c.CommandPath())[1:]
		with := func(more ...string) []string { return append(slices.Clone(path), more...) }
		try(with()...)
		try(with("--", "--")...)
		try(with("x", "y")...)
		try(with("x", "y", "z")...)
		for _, word := range hostileWords {
			try(with(word)...)
			try(with("x", word)...)
			try(with("--" + word)...)
		}
		var needs []string
		if c.Args(c, nil) != nil {
			needs = []string{"7"}
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			for _, word := range hostileWords[:8] {
				try(with(append(needs, "--"+f.Name+"="+word)...)...)
			}
		})
	}
	(&app{env: noEnv}).root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		for _, word := range hostileWords {
			try("audit", "--"+f.Name+"="+word)
		}
	})
	try("event", "3735928559")
	try("get", "deadbeef")
	if tried < 2000 {
		t.Errorf("only %d command lines", tried)
	}
}

func noEnv(string) string { return "" }

// everyCommand lists a tree of commands, its root first.
func everyCommand(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].Commands()...)
	}
	return all
}

func hostileRun(t *testing.T, args ...string) {
	t.Helper()
	shown := fmt.Sprintf("%.100q", args)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v", shown, p)
		}
	}()
	r := run(t, "", args...)
	if r.code < exitOK || r.code > exitVerify {
		t.Errorf("%s: exit %d", shown, r.code)
	}
	if r.code == exitOK {
		return
	}
	text := r.err[max(0, strings.Index("\n"+r.err, "\nrecount: ")):]
	first, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	hint := rest != "" || strings.Contains(first, " --help\"")
	if !plainly(first) {
		t.Errorf("%s: exit %d, in words of the Go library: %q", shown, r.code, r.err)
	}
	if !strings.HasPrefix(first, "recount: ") || strings.TrimSpace(first) == "recount:" || !hint ||
		strings.Contains("\n"+rest, "\nrecount: ") {
		t.Errorf("%s: exit %d, not one line with a hint: %q", shown, r.code, r.err)
	}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "  ") {
			t.Errorf("%s: a line that is not indented: %q", shown, line)
		}
	}
}

// TestNamesThatDoNotExist: a slip is wrong usage, and what was meant is named.
func TestNamesThatDoNotExist(t *testing.T) {
	for args, want := range map[string]string{
		"audti":                `recount has no command "audti", did you mean "recount audit"? "recount --help" lists them`,
		"key lst":              `did you mean "recount key list"?`,
		"cluster stauts":       `did you mean "recount cluster status"?`,
		"audit --outcom x":     `unknown flag: --outcom, did you mean "--outcome"?`,
		"audit -o yaml":        `--output "yaml": must be table, wide, json or ndjson`,
		"help key lst":         `did you mean "recount key list"?`,
		"approve":              `recount approve needs OP_ID; "recount approve --help" shows examples`,
		"approve a b":          `recount approve needs OP_ID`,
		"approve list x":       `recount approve list takes no arguments, and "x" is one`,
		"drill key --nodes 2":  `--nodes: 1, 3 or 5, not 2`,
		"canary --every=-1s":   `--every "-1s": must be a time span such as`,
		"audit --limit ten":    `--limit "ten": must be a whole number;`,
		"completion tcsh":      `needs the name of one shell: bash, zsh, fish or powershell`,
		"help nothing-like-it": `recount has no command "nothing-like-it"; "recount --help" lists them`,
	} {
		if r := run(t, "", strings.Fields(args)...); r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
