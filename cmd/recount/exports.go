package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// formatEnv is the value of -o that makes a command print one line for eval in a shell. Only commands with
// exportsVars take it.
const formatEnv = "env"

// varsOf is the annotation of a command that can set variables: their names, with a space between two.
const varsOf = "recount_vars"

// exportsVars annotates a command that sets variables of the shell with -o env.
func exportsVars(names ...string) map[string]string {
	return map[string]string{varsOf: strings.Join(names, " ")}
}

// exportVars turns -o env of a command that can set variables into a table on stderr, for whoever reads, and
// leaves stdout to setVars.
func (a *app) exportVars(cmd *cobra.Command) {
	if a.format != formatEnv || cmd.Annotations[varsOf] == "" {
		return
	}
	a.vars, a.format = a.out, formatTable
	if a.out, a.shown = a.err, a.err; a.quiet {
		a.out = io.Discard
	}
}

// setVars prints the line that sets variables, given as names and values, when -o env asks for it. A variable
// without a value is unset: a value of an earlier command must not pass for one of this.
func (a *app) setVars(pairs ...string) error {
	if a.vars == nil {
		return nil
	}
	var set, gone []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			gone = append(gone, pairs[i])
			continue
		}
		set = append(set, pairs[i]+"="+shellWord(pairs[i+1]))
	}
	line := "export " + strings.Join(set, " ")
	if len(gone) > 0 {
		line = "unset " + strings.Join(gone, " ") + "; " + line
	}
	_, err := fmt.Fprintln(a.vars, line)
	return err
}

// unsetVars is setVars of a command that failed. It makes eval fail too, which would not notice otherwise.
func unsetVars(out io.Writer, cmd *cobra.Command, args []string) {
	if names := cmd.Annotations[varsOf]; names != "" && wantsEnv(args) {
		fmt.Fprintf(out, "unset %s; false\n", names)
	}
}

// shortOutput is -o, also behind other short flags (-qo env), with what follows it in the same word.
var shortOutput = regexp.MustCompile(`^-[A-Za-z]*o=?(.*)$`)

// wantsEnv reports whether a command line, which may be wrong, asks for -o env.
func wantsEnv(args []string) bool {
	for i, arg := range args {
		value, named := strings.CutPrefix(arg, "--output=")
		if m := shortOutput.FindStringSubmatch(arg); m != nil {
			value, named = m[1], true
		}
		if (arg == "--output" || named && value == "") && i+1 < len(args) {
			value, named = args[i+1], true
		}
		if named && value == formatEnv {
			return true
		}
	}
	return false
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// shellWord writes any text as one word of a POSIX shell.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// commandLine is a command to paste that asks the cluster that this one has asked, as it was named. Options
// come in pairs of a flag and its value. Those without a value are left out.
func (a *app) commandLine(command string, options ...string) string {
	words := []string{command}
	options = append(options, a.placeOptions()...)
	for i := 0; i+1 < len(options); i += 2 {
		if options[i+1] != "" {
			words = append(words, options[i], shellWord(options[i+1]))
		}
	}
	return strings.Join(words, " ")
}

// placeOptions are the flags of this command line that name a cluster and a credential, in pairs. A context is
// named also where it was the current one or that of the environment: another shell, or "context use", would
// send the line elsewhere.
func (a *app) placeOptions() (options []string) {
	options = append(options, "--dev", a.devDir, "--context", cmp.Or(a.contextName, a.place.Context))
	for _, e := range a.endpoints {
		options = append(options, "--endpoint", e)
	}
	return append(options, "--ca", a.caFile, "--cert", a.certFile, "--cert-key", a.certKey, "--token-file", a.tokenFile)
}
