// Command recount is the command-line tool of a Recount ledger, for agents, operators and auditors. It makes keys,
// signs and submits records, reads responses back, and compares the nodes with each other.
//
// The package holds flags, tables, help texts and exit codes. What another Go program could use is elsewhere: the
// client in client, signatures in sign, trials of policies in internal/trial, canaries in internal/canary, drills in
// internal/drill, exports in internal/export.
//
// A type app is one run of the tool. Its methods find the cluster, connect, print and ask for confirmation. Each area
// has a small type that embeds it, such as keyCommands, with a method for each command:
//
//	func (a keyCommands) showCommand() *cobra.Command
//
// A command returns an error, and codedError gives it an exit code and a next step. Results go to stdout, progress and
// notes to stderr. A submission without a response is never reported as refused: its outcome is unknown, exit code 6.
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
