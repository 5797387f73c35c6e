package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/drill"
)

// wholeAudit is recount audit verify.
type wholeAudit struct {
	from, key, dir string
	checkpoints    []string
	binary         string
}

// verifyCommand passes an audit of the whole ledger to recount-node, which can fold a log. This tool finds the
// cluster.
func (a auditCommands) verifyCommand() *cobra.Command {
	var f wholeAudit
	cmd := &cobra.Command{
		Use: "verify", Short: "Fold the whole ledger again on this machine and compare", Args: exactArgs(),
		Long: `verify reads every event of the ledger, folds them on this machine, with every generation that was ever active, and compares: the
root of the events with signed checkpoints, the digests in the log with the outcomes and the control state, and the differences at each
activation. It names the first position that differs, and what differs there.

The ledger is that of the cluster, whose token must be one of an auditor, or with --from an export that begins with event 1, a target of
backups, the data directory of a stopped node, or a copy of its log.

--key has the public keys that you trust, one a line, as "recount-node checkpoint-key show" prints them. The newest checkpoint of the
cluster is compared, and with --checkpoint those that you kept. With --key and no checkpoint at all nothing is verified, which is exit
code 1. A directory shows none.

--dir keeps the events, what was folded and the newest checkpoint, some three times the bytes of the events. A second run goes on there,
after an interruption or a year later. It hashes the events that it has again, compares them with what the ledger has now, folds them
again, and reads new ones. A ledger that was rolled back, or that signs a checkpoint which contradicts the kept one, differs, and both checkpoints are kept
under forks/ there: "recount witness list --dir DIR --key FILE" checks them.

Ed25519 signatures are checked again. MACs need the secret, which the operator holds: what the log says of them is taken. Without a
checkpoint that you kept, a ledger that was made up from its first event on passes. docs/auditing.md has a walk-through.

The work is done by the program recount-node, which is beside this one or in PATH.

Exit codes: 0 everything was reproduced, 1 it could not be checked, 2 wrong usage, 7 the ledger differs.`,
		Example: `  recount audit verify --key ledger.pub --dir audit
  recount audit verify --key ledger.pub --checkpoint march.note --dir audit -o json
  recount audit verify --from /mnt/backups --key ledger.pub --checkpoint march.note`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format != formatTable && a.format != formatJSON {
				return usagef("-o %s: audit verify prints table or json", a.format)
			}
			binary, err := drill.FindBinary(f.binary)
			if err != nil {
				return usagef("%w; name it with --node-binary", err)
			}
			args, err := f.args(a.app)
			if err != nil {
				return err
			}
			return a.pass(cmd.Context(), binary, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "",
		"audit the ledger in this directory, or of the node with this URL, instead of the cluster")
	flags.StringVar(&f.key, "key", "", "file with the public keys of the ledger that you trust, one a line")
	flags.StringArrayVar(&f.checkpoints, "checkpoint", nil, "file with a checkpoint that you kept, repeatable")
	flags.StringVar(&f.dir, "dir", "",
		"directory to keep the events and the folded state in (default: a temporary one)")
	flags.StringVar(&f.binary, "node-binary", "", "recount-node (default: beside this tool, else in PATH)")
	return cmd
}

// args is the command line of recount-node. It names files and no secrets.
func (f *wholeAudit) args(a *app) ([]string, error) {
	args := []string{"audit", "verify", "-o", a.format, "--timeout", a.timeout.String()}
	if a.quiet {
		args = append(args, "--quiet")
	}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}
	add("--key", f.key)
	add("--dir", f.dir)
	for _, c := range f.checkpoints {
		add("--checkpoint", c)
	}
	if f.from != "" && !strings.HasPrefix(f.from, "https://") && !strings.HasPrefix(f.from, "http://") {
		add("--from", f.from)
		return args, nil
	}
	if f.from != "" {
		a.endpoints = []string{f.from}
	}
	p, err := a.find()
	if err != nil {
		return nil, err
	}
	if _, err := p.config(); err != nil {
		return nil, err
	}
	a.noteMark(p)
	add("--from", strings.Join(p.Endpoints, ","))
	add("--ca", p.CA)
	add("--token-file", p.TokenFile)
	add("--cert", p.Cert)
	add("--cert-key", p.CertKey)
	return args, nil
}

// shownError is the failure of another program, which has told people about it.
type shownError struct{ code int }

func (e *shownError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// endWithin bounds the wait for another program that was interrupted.
const endWithin = 30 * time.Second

// pass runs another program with the streams of this one. An interruption is passed on, so that the other program can
// close its files. It is killed only if it does not end then.
func (a auditCommands) pass(ctx context.Context, binary string, args []string) error {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, a.out, a.err
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, endWithin
	err := cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() >= 0 && ctx.Err() == nil {
		return &shownError{ended.ExitCode()}
	}
	return errors.Join(err, ctx.Err())
}
