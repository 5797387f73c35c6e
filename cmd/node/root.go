package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/version"
)

// usageError is a mistake in flags or settings; the exit code is 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recount-node",
		Short: "A node of a Recount ledger",
		Long: `recount-node keeps one replica of a Recount ledger: it takes signed submissions over HTTPS, commits them through
Raft to its log, and folds the log into answers.

Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or settings, 70 the store failed or refused.`,
		Example: `  # three nodes on this machine, with certificates and a demo key
  recount-node dev --dir /tmp/recount

  # one node of them by hand
  recount-node serve --config /tmp/recount/node-1/config.yaml`,
		SilenceUsage: true, SilenceErrors: true,
		Version: fmt.Sprintf("%s %s %s/%s", version.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.PersistentPreRunE = refuseEmpty
	cmd.AddCommand(serveCommand(), devCommand(), configCommand(), certsCommand())
	return cmd
}

// refuseEmpty refuses a text flag that is given without a value, and an empty argument: most often a variable of a shell that
// was not set.
func refuseEmpty(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			if values = s.GetSlice(); len(values) == 0 {
				values = []string{""}
			}
		}
		for _, v := range values {
			if err == nil && strings.TrimSpace(v) == "" {
				err = &usageError{fmt.Errorf("--%s is given without a value: give one, or leave the flag out; is a variable of your shell not set?", f.Name)}
			}
		}
	})
	for i, arg := range args {
		if err == nil && strings.TrimSpace(arg) == "" {
			err = &usageError{fmt.Errorf("argument %d of %s is empty; is a variable of your shell not set?", i+1, cmd.CommandPath())}
		}
	}
	return err
}
