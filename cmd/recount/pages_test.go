package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	// codeOf finds what pages show as typed: fenced blocks, indented lines, and text between backticks.
	codeOf = regexp.MustCompile("(?s)```[a-z]*\n(.*?)```|(?m)^ {4,}((?:\\$ |[A-Z_]+=\\S+ )?(?:bin/)?recount " +
		"[^\n]*)$|`([^`\n]+)`")
	// typedOf finds a command line of this tool up to what ends it in a shell.
	typedOf = regexp.MustCompile(`(?:^|[\s("]|bin/)recount ([a-z][^|#;&<>()\n]*)`)
	flagOf  = regexp.MustCompile(`(?:^|\s)--([a-z][a-z0-9-]*)`)
	wordOf  = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// TestCommandsOfThePages: every command line of this tool that a page or a dashboard shows, and every example of its own
// help, names a command that there is, with flags that it has.
func TestCommandsOfThePages(t *testing.T) {
	root := (&app{env: noEnv}).root()
	root.InitDefaultHelpFlag()
	texts := map[string]string{}
	for _, c := range everyCommand(root) {
		texts["help of "+c.CommandPath()] = "```\n" + c.Example + "\n```"
	}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md", "../../testdata/*.md",
		"../../deploy/grafana/*.json"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(text)
		}
	}
	lines := 0
	for where, text := range texts {
		for _, m := range codeOf.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
			for _, typed := range typedOf.FindAllStringSubmatch(m[1]+m[2]+m[3], -1) {
				if strings.HasPrefix(typed[1], "deploy/helm/") {
					continue // helm install recount deploy/helm/recount
				}
				lines++
				if why := notTyped(root, typed[1]); why != "" {
					t.Errorf("%s: recount %s: %s", where, typed[1], why)
				}
			}
		}
	}
	if lines < 300 {
		t.Errorf("only %d command lines", lines)
	}
}

// notTyped returns what is wrong with a command line, "" for nothing.
func notTyped(root *cobra.Command, line string) string {
	cmd := root
	for _, word := range strings.Fields(line) {
		next := cmd
		for _, c := range cmd.Commands() {
			if c.Name() == word {
				next = c
			}
		}
		if next == cmd {
			if cmd.HasSubCommands() && !cmd.Runnable() && wordOf.MatchString(word) {
				return "no command " + word
			}
			break
		}
		cmd = next
	}
	if cmd == root {
		return "no such command"
	}
	cmd.InitDefaultHelpFlag()
	for _, f := range flagOf.FindAllStringSubmatch(line, -1) {
		if cmd.Flags().Lookup(f[1]) == nil && cmd.InheritedFlags().Lookup(f[1]) == nil {
			return "no flag --" + f[1]
		}
	}
	return ""
}
