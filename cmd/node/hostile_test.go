package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// TestHostileArguments gives every command none, one, two, empty and hostile arguments, and every flag of it hostile values.
// Nothing panics, exit codes are those of the documentation, and an error is one line with a hint.
func TestHostileArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	words := []string{"x", "", " ", "\x00", "\x1b[31m", "-1", "0", "99999999999999999999999", "../x", "%s%n%!d\n;", strings.Repeat("A", 5000)}
	tried := 0
	commands := append(root().Commands(), root())
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Commands()...)
		path := strings.Fields(strings.TrimPrefix(c.CommandPath(), "recount-node"))
		try := func(more ...string) {
			tried++
			if c.Name() == "dev" { // must not start a cluster
				more = append(more, "--nodes", "2")
			}
			hostileRun(t, append(slices.Clone(path), more...)...)
		}
		try()
		try("x", "y")
		for _, word := range words {
			try(word)
			try("x", word)
			try("--" + word)
			try("--", word)
		}
		required := requiredFlags(c, "")
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			for _, word := range words[:8] {
				try(append(slices.Clone(required), "--"+f.Name+"="+word)...)
			}
		})
	}
	if tried < 1000 {
		t.Errorf("only %d command lines", tried)
	}
}

func hostileRun(t *testing.T, args ...string) {
	t.Helper()
	shown := fmt.Sprintf("%.100q", args)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v", shown, p)
		}
	}()
	var out, errs bytes.Buffer
	command, err := execute(t.Context(), args, &out)
	if err == nil {
		return
	}
	code := explain(&errs, command, err)
	first, rest, _ := strings.Cut(strings.TrimSuffix(errs.String(), "\n"), "\n")
	if !strings.HasPrefix(first, "recount-node: ") || code != 1 && code != 2 || code == 2 && rest == "" && !strings.Contains(first, " --help\"") {
		t.Errorf("%s: exit %d, not one line with a hint: %q", shown, code, errs.String())
	}
	for _, word := range []string{"strconv", "invalid syntax", " json: ", "illegal base64", "tls: "} { // of the Go library: they say nothing to people
		if strings.Contains(errs.String(), word) {
			t.Errorf("%s: exit %d: %q", shown, code, errs.String())
		}
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
		"srve":                              `recount-node has no command "srve", did you mean "recount-node serve"?`,
		"config chek":                       `did you mean "recount-node config check"?`,
		"certs create-client --rol auditor": `unknown flag: --rol, did you mean "--role"?`,
		"certs create-ca x -o yaml":         `must be table or json`,
		"serve x":                           `takes no arguments`,
		"help srve":                         `did you mean "recount-node serve"?`,
		"completion tcsh":                   `needs the name of one shell: bash, zsh, fish or powershell`,
		"dev":                               `required flag(s) "dir" not set`,
	} {
		command, err := execute(t.Context(), strings.Fields(args), &bytes.Buffer{})
		var errs bytes.Buffer
		if err == nil || explain(&errs, command, err) != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %v\n%s", args, err, errs.String())
		}
	}
}

func TestVersion(t *testing.T) {
	var flag, command bytes.Buffer
	for out, args := range map[*bytes.Buffer]string{&flag: "--version", &command: "version"} {
		if _, err := execute(t.Context(), []string{args}, out); err != nil {
			t.Error(err)
		}
	}
	if flag.String() != command.String() || !strings.HasPrefix(flag.String(), "recount-node version ") {
		t.Errorf("%q %q", flag.String(), command.String())
	}
	var out bytes.Buffer
	var got wire.VersionAnswer
	if _, err := execute(t.Context(), []string{"version", "-o", "json"}, &out); err != nil || json.Unmarshal(out.Bytes(), &got) != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got.Version != "dev" || got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH || len(got.Kernels) == 0 || got.KnowsVersion != event.NewestVersion {
		t.Errorf("%+v", got)
	}
}
