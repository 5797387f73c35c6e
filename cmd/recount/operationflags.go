package main

import (
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/wire"
)

// opFlags has the flags by which an operator explains an operation.
type opFlags struct{ reason, ticket, opID string }

func (f *opFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; kept in the log")
	cmd.Flags().StringVar(&f.ticket, "ticket", "", "number of the incident; kept in the log")
	cmd.Flags().StringVar(&f.opID, "op-id", "",
		"name of this operation: the same name again is the same operation (default: a new one)")
}

// waitFlag is for what may need a second actor.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.waitApproval, "wait-approval", false,
		"with the two-person rule: wait for the approval, then carry out the request")
}

// op names the operation, so that a command that got no answer can be given again as the same operation.
func (a *app) op(f *opFlags) wire.Op {
	if f.opID == "" {
		f.opID = rand.Text()
	}
	a.opID = f.opID
	return wire.Op{OpID: f.opID, Reason: f.reason, Ticket: f.ticket}
}
