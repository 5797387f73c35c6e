package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
)

const policyHelp = `A policy is a YAML document: kernel, parameters, accepted signatures, and rules in CEL syntax (docs/policies.md). Its
id is the SHA-256 of its canonical form. Publishing changes no answer. To change answers,
  of the past:      recount generation start --policy ID --wait --diff, then activate
  of the future:    recount policy apply ID`

// policyCommands implements recount policy.
type policyCommands struct{ *app }

func (a policyCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Check, publish, compare and try policies (verifier patches)",
		Long:    policyHelp,
		Args:    exactArgs(),
		Example: "  recount policy lint fix.yaml\n  recount policy publish fix.yaml --ticket INC-7",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.lintCommand(), a.publishCommand(), a.listCommand(),
		a.historyCommand(), a.showCommand(), a.newCommand(), a.diffCommand(),
		a.applyCommand(), a.testCommand())
	return cmd
}

func (a policyCommands) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "Check policy documents without a ledger",
		Example: `  recount policy lint fix.yaml
  recount policy lint testdata/policies/*.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactArgs("FILE")(cmd, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			l := newList(a.app, lintRows, text("FILE", 1, 16), hexID("ID", 3), text("PROBLEM", 2, 20)).uncounted()
			bad, unread := 0, 0
			for _, path := range args {
				line := lint(path)
				if line.unread {
					unread++
				}
				if len(line.Problems) > 0 {
					bad++
				}
				for _, danger := range line.Dangers {
					a.notef("Warning: %s: %s.", path, danger)
				}
				if err := l.add(line); err != nil {
					return err
				}
			}
			if err := l.end(); err != nil || bad == 0 {
				return err
			}
			if unread > 0 {
				return usagef("%d of %d files cannot be read; check their names", unread, len(args))
			}
			return &codedError{exitRejected, fmt.Errorf("%d of %d documents cannot be used", bad, len(args)),
				"Nothing was sent anywhere. Fix the places named above."}
		},
	}
}

// lintLine holds the findings of lint in one file.
type lintLine struct {
	File     string   `json:"file"`
	ID       string   `json:"id"`
	Problems []string `json:"problems"`
	Dangers  []string `json:"dangers"` // what a person must mean; such a document can be used

	unread bool // there is no document to judge
}

// lintRows prints one row per problem.
func lintRows(t *table, p lintLine) {
	if len(p.Problems) == 0 {
		t.row(p.File, p.ID, "-")
	}
	for _, problem := range p.Problems {
		t.row(p.File, "-", problem)
	}
}

func lint(path string) lintLine {
	line := lintLine{File: path, Problems: []string{}, Dangers: []string{}}
	p, err := readPolicy(path)
	if err != nil {
		line.Problems = strings.Split(err.Error(), "\n")
		line.unread = errors.As(err, new(*fs.PathError))
		return line
	}
	line.ID, line.Dangers = fmt.Sprintf("%x", p.ID()), p.Dangers()
	return line
}

// unusable is the error for a document: wrong usage when it cannot be read, rejected when it is none.
func unusable(err error, next string) error {
	if errors.As(err, new(*fs.PathError)) {
		return usage(err)
	}
	return &codedError{exitRejected, err, next}
}

func readPolicy(path string) (verify.Policy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return verify.Policy{}, usagef("%w", err)
	}
	return publish.Parse(b)
}
