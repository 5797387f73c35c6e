package main

import (
	"github.com/spf13/cobra"
)

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Copy a part of the ledger to where it can be read and checked without a node", Args: exactly(),
		Long:    `export copies a range of the ledger out of the cluster. It reads only and needs a token of the role auditor.`,
		Example: `  recount export --help`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	return cmd
}
