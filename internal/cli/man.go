package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ManPages writes a manual page for each command of the program into a directory. build is the version that the pages
// name.
func ManPages(program, build string, usage func(error) error) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write a manual page for each command into a directory",
		Long: `man writes the help of each command as a manual page, such as PROGRAM-COMMAND.1. It makes the directory if there is none,
and replaces pages that are there.`,
		Example: strings.ReplaceAll(`  PROGRAM man /usr/local/share/man/man1 && man PROGRAM
  PROGRAM man /tmp/pages && man /tmp/pages/PROGRAM.1`, "PROGRAM", program),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				path := cmd.CommandPath()
				return usage(fmt.Errorf("%s needs one directory; \"%s --help\" shows examples", path, path))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			var err error
			for name, page := range Pages(cmd.Root(), build) {
				err = errors.Join(err, os.WriteFile(filepath.Join(args[0], name), []byte(page), publicFile))
			}
			return err
		},
	}
}

// publicFile is the mode of a page: everybody reads it.
const publicFile fs.FileMode = 0o644

// Pages returns the manual page of a command and of all below it, by the name of the file. Commands that help does not list
// have none.
func Pages(root *cobra.Command, build string) map[string]string {
	pages := map[string]string{pageName(root) + ".1": manPage(root, build)}
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() {
			continue
		}
		for name, page := range Pages(cmd, build) {
			pages[name] = page
		}
	}
	return pages
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage returns the page of one command in the macros of man(7).
func manPage(cmd *cobra.Command, build string) string {
	cmd.InitDefaultHelpFlag()
	p := &man{}
	name := pageName(cmd)
	p.line(".TH %s 1 \"\" \"%s\" \"Recount\"", roff(strings.ToUpper(name)), roff(build))
	p.line(".SH NAME\n%s \\- %s", roff(name), roff(cmd.Short))
	p.line(".SH SYNOPSIS\n.B %s", roff(cmd.UseLine()))
	p.line(".SH DESCRIPTION")
	if cmd.Long == "" {
		p.text(cmd.Short + ".")
	}
	p.text(cmd.Long)
	p.commands(cmd)
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	if cmd.Example != "" {
		p.line(".SH EXAMPLES")
		p.block(strings.Split(cmd.Example, "\n"))
	}
	if cmd.HasParent() {
		p.line(".SH SEE ALSO\n.BR %s (1)", roff(pageName(cmd.Parent())))
	}
	return p.String()
}

// man writes one page.
type man struct{ strings.Builder }

func (p *man) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// roff escapes a text: no character of it is taken for a request, and a hyphen stays the one of a keyboard.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// termOf finds a line of a list: a term, two spaces or more, and its text.
var termOf = regexp.MustCompile(`^(\S+(?: \S+)*?) {2,}(\S.*)$`)

// text writes paragraphs, lists and blocks of a help text. Lines that begin with a space are a block, or go on with an item
// of a list.
func (p *man) text(s string) {
	var block []string
	fresh, item := true, false // a paragraph begins, the last line was of an item
	for line := range strings.SplitSeq(s, "\n") {
		term := termOf.FindStringSubmatch(line)
		indented := strings.HasPrefix(line, " ")
		if !indented && len(block) > 0 {
			p.block(block)
			block, fresh = nil, true
		}
		switch {
		case indented && item:
			p.line("%s", roff(strings.TrimSpace(line)))
			continue
		case indented:
			block = append(block, line)
			continue
		case line == "":
			fresh = true
		case term != nil:
			p.line(".TP\n.B %s\n%s", roff(term[1]), roff(term[2]))
			fresh = false
		case fresh:
			p.line(".PP\n%s", roff(line))
			fresh = false
		default:
			p.line("%s", roff(line))
		}
		item = term != nil
	}
	if len(block) > 0 {
		p.block(block)
	}
}

// block writes lines as they are.
func (p *man) block(lines []string) {
	p.line(".PP\n.EX")
	for _, line := range lines {
		p.line("%s", roff(line))
	}
	p.line(".EE")
}

// commands lists the commands of a group.
func (p *man) commands(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.line(".SH COMMANDS")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			p.line(".TP\n.BR %s (1)\n%s", roff(pageName(c)), roff(c.Short))
		}
	}
}

// flags lists flags under a heading.
func (p *man) flags(heading string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	p.line(".SH %s", heading)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if !slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue) {
			text += " (default " + f.DefValue + ")"
		}
		p.line(".TP\n\\fB%s\\fR \\fI%s\\fR\n%s", roff(name), roff(value), roff(text))
	})
}
