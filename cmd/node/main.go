// Command recount-node runs one node of a Recount ledger (serve), or a whole cluster on this machine (dev). It
// does not start with an unknown setting, and reports all problems of its settings at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/auditor"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/logqueue"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/repair"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command, err := execute(ctx, os.Args[1:], os.Stdout)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	last := logqueue.New(logFile(), logqueue.DefaultBytes) // stderr may be a pipe that nobody reads
	code := explain(last, command, err)
	last.Flush(flushLimit)
	os.Exit(code)
}

// explain prints an error on one line, and below it, indented, further lines and the next steps. It returns the
// exit code.
func explain(w io.Writer, command string, err error) int {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "\n  ")
	var usage *usageError
	wrong := errors.As(err, &usage)
	if wrong && !strings.Contains(text, " --help") {
		text += fmt.Sprintf("\n  %q shows what it takes, with examples.", command+" --help")
	}
	fmt.Fprintf(w, "recount-node: %s\n", text)
	switch {
	case wrong:
		return 2
	case errors.Is(err, auditor.ErrDiffers):
		return exitDiffers
	case node.Refused(err), errors.Is(err, repair.ErrRefused):
		return node.ExitStore
	}
	return 1
}

// exitDiffers is the exit code of an audit that found a difference, as of recount.
const exitDiffers = 7

// execute runs one command line and returns the name of the command. Output that could not be written is an
// error, so that no command reports success unheard. An error before the command begins is wrong usage.
func execute(ctx context.Context, args []string, stdout io.Writer) (command string, err error) {
	cmd, out, begun := root(), cli.Watch(stdout), false
	notice(cmd, &begun)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	ran, err := cmd.ExecuteContextC(ctx)
	if err != nil && !begun {
		return ran.CommandPath(), &usageError{err}
	}
	return ran.CommandPath(), out.Lost(err)
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
