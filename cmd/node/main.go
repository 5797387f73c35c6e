// Command recount-node runs one node of a Recount ledger (serve), or a whole cluster on this machine (dev).
// It refuses to start with a setting that it does not know and reports every problem of its settings at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/logqueue"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := execute(ctx, os.Args[1:], os.Stdout)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	last := logqueue.New(logFile(), logqueue.DefaultBytes) // stderr may be a pipe that nobody reads
	fmt.Fprintf(last, "recount-node: %v\n", err)
	last.Flush(flushLimit)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// execute runs one command line. Output that could not be written is an error, so that no command says ok when nobody heard it.
// Whatever stops a command before it begins is wrong usage.
func execute(ctx context.Context, args []string, stdout io.Writer) error {
	cmd, out, begun := root(), cli.Watch(stdout), false
	notice(cmd, &begun)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	err := cmd.ExecuteContext(ctx)
	if err != nil && !begun {
		return &usageError{err}
	}
	return out.Lost(err)
}

// notice sets begun when a command of the tree runs.
func notice(cmd *cobra.Command, begun *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*begun = true
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		notice(c, begun)
	}
}
