package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// usageError is a mistake in flags or settings. The exit code is 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// wrong converts err to a mistake in usage. Nil stays nil.
func wrong(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recount-node",
		Short: "A node of a Recount ledger",
		Long: `recount-node keeps one replica of a Recount ledger: it accepts signed submissions over HTTPS, commits them through
Raft to its log, and folds the log into answers.

Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or settings, 7 an audit found a difference, 70 the store failed or
refused.`,
		Example: `  # three nodes on this machine, with certificates and a demo key
  recount-node dev --dir /tmp/recount

  # one node of them by hand
  recount-node serve --config /tmp/recount/node-1/config.yaml`,
		SilenceUsage: true, SilenceErrors: true,
		Version: version.Get().String(),
	}
	cmd.PersistentPreRunE = func(cmd *cobra.Command, args []string) error { return wrong(cli.Check(cmd, args)) }
	cmd.AddCommand(serveCommand(), devCommand(), healthCommand(), configCommand(), doctorCommand(), backupCommand(),
		auditCommand(), recoverCommand(), repairCommand(), joinCommand(), certsCommand(), checkpointKeyCommand(),
		tokenCommand(), versionCommand(), cli.Completion("recount-node", wrong),
		cli.ManPages("recount-node", version.Name(), wrong))
	cmd.CompletionOptions.DisableDefaultCmd = true
	cli.Strict(cmd, wrong)
	cli.FitHelp(cmd, func() int { return term.Look(cmd.OutOrStdout(), 0, term.ColorNever, os.Getenv).Width })
	return cmd
}

func versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cli.None,
		Example: `  recount-node version
  recount-node version -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := version.Get()
			if output == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(wire.VersionAnswer{
					Version:      b.Version,
					Go:           b.Go,
					Platform:     b.Platform,
					Commit:       b.Commit,
					CommitTime:   b.Time,
					Kernels:      verify.Kernels(),
					KnowsVersion: event.NewestVersion,
				})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "recount-node version", b)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table (one line of text) or json")
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}
