package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/doctor"
)

// doctorCommands implements recount doctor.
type doctorCommands struct{ *app }

func (a doctorCommands) command() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong, or will be, and say which command comes next", Args: exactArgs(),
		Long: `doctor asks every endpoint for what it tells about itself and the others: members, leader, readiness, builds, clock, disk,
certificates, stores, what is behind. It compares the digests of all nodes and looks at tokens and keys that end soon, missing
secrets, and freezes. It changes nothing. Each finding has a severity, plain words, the next command and a page of docs/.

  critical   something does not work, or will not within days
  warning    everything works, and the next fault or a date will change that
  note       worth knowing, no reason to act

Give it credentials of the role auditor, or one above, and every node as an endpoint. What they do not let it see is a note.
"recount-node doctor" examines the directory of a node that does not run.

Exit code 0 when no finding is critical or a warning, else 1. It waits 5 seconds for an endpoint unless --timeout says otherwise.`,
		Example: `  recount doctor --dev /tmp/recount
  recount doctor --context production
  recount doctor -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.shortTimeout(cmd)
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.show(doctor.Examine(cmd.Context(), c, doctor.Options{Timeout: a.timeout}))
		},
	}
}

// show prints a report and returns an error unless all is well.
func (a doctorCommands) show(r *doctor.Report) error {
	if a.format != formatTable {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.findings(r); err != nil {
		return err
	}
	counts := fmt.Sprintf("%d critical, %d warnings, %d notes on %d nodes", r.Count(doctor.Critical),
		r.Count(doctor.Warning), r.Count(doctor.Note), r.Nodes)
	if r.OK {
		a.notef("%s: all is well", counts)
		return nil
	}
	return &codedError{exitFailed, fmt.Errorf("%s", counts),
		"Begin with the first finding, give its next command, and run doctor again."}
}

// findings prints each finding in full: half a sentence helps nobody.
func (a doctorCommands) findings(r *doctor.Report) error {
	for i, f := range r.Findings {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		pairs := []any{f.Severity, f.Check}
		if f.Node != "" {
			pairs = append(pairs, "node", f.Node)
		}
		next := f.Next
		if f.On != "" {
			next += "   (on the machine of " + f.On + ")"
		}
		pairs = append(pairs, "finding", f.Text, "next", next, "page", "docs/"+f.Page)
		if err := a.printFields(f, pairs...); err != nil {
			return err
		}
	}
	return nil
}
