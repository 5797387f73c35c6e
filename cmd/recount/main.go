// Command recount is the tool for everyone who talks to a Recount ledger: it makes keys, signs and submits
// records, reads answers back and compares what the nodes say. It keeps no state of its own, prints data on
// stdout and talk on stderr, and refuses to call an unanswered submission refused: that is exit code 6.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, whatever it is doing
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
