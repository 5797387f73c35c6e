package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

// explained is the page of one code.
type explained struct {
	Code   wire.Code `json:"code"`
	Status int       `json:"status"`
	Exit   int       `json:"exit_code"` // of this tool
	Title  string    `json:"title"`
	About  string    `json:"about"`
}

func newExplained(info wire.CodeInfo) explained {
	return explained{Code: info.Code, Status: info.Status, Exit: exitOf(info), Title: info.Title, About: info.About}
}

// explainCommands implements recount explain.
type explainCommands struct{ *app }

func (a explainCommands) command() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "Explain a problem code, or list all codes",
		Long: `explain prints the pages that nodes serve under /problems: the meaning of a code and what to do. CODE is the code of a problem document, such
as stale or no_leader, or an HTTP status, such as 409.`,
		Example: `  recount explain stale
  recount explain 409
  recount explain -o json | jq -r '.[].code'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("[CODE]")(cmd, args)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return codeNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listCodes(wire.Codes())
			}
			found, err := codesOf(args[0])
			switch {
			case err != nil:
				return err
			case len(found) > 1:
				return a.listCodes(found)
			}
			e := newExplained(found[0])
			return a.printFields(e, "code", e.Code, "title", e.Title, "status", e.Status, "exit code of recount",
				e.Exit,
				"about", e.About)
		},
	}
}

func codeNames() (names []string) {
	for _, info := range wire.Codes() {
		names = append(names, string(info.Code))
	}
	return names
}

// codesOf finds a code by its name, its slug, its page or its status.
func codesOf(text string) (found []wire.CodeInfo, err error) {
	name := strings.ReplaceAll(strings.ToLower(text[strings.LastIndexByte(text, '/')+1:]), "-", "_")
	status, _ := strconv.Atoi(name) // 0 is no status
	for _, info := range wire.Codes() {
		if string(info.Code) == name || info.Status == status {
			found = append(found, info)
		}
	}
	if len(found) == 0 {
		near := ""
		if n := cli.Nearest(name, codeNames()); n != "" {
			near = fmt.Sprintf(", did you mean %q?", n)
		}
		return nil, &codedError{exitNotFound, fmt.Errorf("no problem has the code %q%s", text, near),
			"The codes are " + strings.Join(codeNames(), ", ") + "."}
	}
	return found, nil
}

// exitOf is the exit code with which this tool ends for a problem of the code.
func exitOf(info wire.CodeInfo) int {
	return exitCode(&client.Error{
		Status:  info.Status,
		Problem: wire.NewProblem(info.Code, ""),
		MaySent: info.Code == wire.CodeOutcomeUnknown,
	})
}

func (a explainCommands) listCodes(all []wire.CodeInfo) error {
	l := newList(a.app, func(t *table, e explained) { t.row(e.Code, e.Status, e.Exit, e.Title) }, "CODE", "STATUS",
		"EXIT CODE", "TITLE")
	for _, info := range all {
		if err := l.add(newExplained(info)); err != nil {
			return err
		}
	}
	return l.end()
}
