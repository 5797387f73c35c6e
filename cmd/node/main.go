// Command recount-node runs one node of a Recount ledger (serve), or a whole cluster on this machine (dev).
// It refuses to start with a setting that it does not know and reports every problem of its settings at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/recount-ledger/recount/internal/logqueue"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	last := logqueue.New(os.Stderr, logqueue.DefaultBytes) // stderr may be a pipe that nobody reads
	fmt.Fprintf(last, "recount-node: %v\n", err)
	last.Flush(flushLimit)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}
