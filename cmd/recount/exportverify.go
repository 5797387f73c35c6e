package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/export"
)

func (a exportCommands) verifyCommand() *cobra.Command {
	var secrets []string
	var sum string
	var recount bool
	cmd := &cobra.Command{
		Use: "verify DIR", Short: "Check a directory of export dir, without a node", Args: exactArgs("DIR"),
		Long: `verify reads the directory alone. It compares every file with the manifest, hashes every event and computes the digest of the
log, checks the signatures of Ed25519 keys with the exported public keys, judges every record again under the exported policies
and compares, and matches answers and operations with the events.

It lists what it cannot check: signatures of HMAC keys need the secret (--hmac-key-file). Verdicts that follow from earlier
events, such as replays and conflicts, need the whole ledger: with --recount an export that begins with event 1 is folded again
as a node does it, and every answer and the digests of outcomes and control state are compared. That takes memory for each
record. docs/formats-export.md describes each check.

A directory can be consistent and still come from another ledger, or an older export. Compare the log digest with a node ("recount
digest --seq N"), or give the manifest sum that export dir printed with --sum.

The exit code is 0 when no check failed, and 7 when one did.`,
		Example: `  recount export verify november
  recount export verify november --hmac-key-file agent.key
  recount export verify all --recount
  recount export verify november --sum 65c8f7093db946879683b020ce72cdb43c71895141051e382fe63b079c090fc5
  recount export verify november -o json | jq '.checks[] | select(.result != "ok")'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if b, err := hex.DecodeString(sum); err != nil || len(b) != 0 && len(b) != 32 {
				return usagef("--sum %q: must be 64 hex digits, as export dir prints them", sum)
			}
			o := export.CheckOptions{Sum: sum, Recount: recount}
			for _, path := range secrets {
				text, err := readSetting("--hmac-key-file", path)
				if err != nil {
					return err
				}
				key, err := readTrialKey("--hmac-key-file", text)
				if err != nil {
					return usagef("--hmac-key-file %s: %w", path, err)
				}
				o.Secrets = append(o.Secrets, key)
			}
			return a.verify(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().StringArrayVar(&secrets, "hmac-key-file", nil,
		"also check signatures with this HMAC secret, repeatable")
	cmd.Flags().BoolVar(&recount, "recount", false, "fold the whole ledger again and compare every answer, in memory")
	cmd.Flags().StringVar(&sum, "sum", "", "expected sum of the manifest, as export dir printed it")
	return cmd
}

func (a exportCommands) verify(ctx context.Context, dir string, o export.CheckOptions) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", dir)
	}
	if err != nil {
		return &codedError{exitUsage, err, "Name the directory that \"recount export dir\" has made."}
	}
	work := newWork(a.app)
	o.Progress = work.update
	r, err := export.Check(ctx, dir, o)
	work.end()
	if err != nil {
		return err
	}
	if err := a.showReport(r); err != nil {
		return err
	}
	return verdictOf(r)
}

func (a exportCommands) showReport(r *export.Report) error {
	if a.format != formatTable {
		return a.printJSON(r)
	}
	t := a.table(text("CHECK", 1, 20), word("RESULT", 2), count("COUNT", 3), text("SAYS", 4, 20))
	for _, l := range r.Checks {
		t.row(l.Check, l.Result, l.Count, l.Says)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, l := range r.Checks {
		for i, f := range l.Faults {
			if i == 0 {
				fmt.Fprintf(a.out, "\n%s:\n", l.Check)
			}
			fmt.Fprintf(a.out, "  %s\n", plain(f))
		}
		if l.More > 0 {
			fmt.Fprintf(a.out, "  and %d more\n", l.More)
		}
	}
	if r.OK {
		of := ""
		if r.Shard != "" {
			of = ", shard " + r.Shard
		}
		a.notef("All checks hold: events %d to %d of ledger %s%s, log digest %s.", r.FromSeq, r.ToSeq, r.ClusterID,
			of, r.LogDigest)
	}
	return nil
}

// verdictOf is an error when a check failed.
func verdictOf(r *export.Report) error {
	if r.OK {
		return nil
	}
	failed := 0
	for _, l := range r.Checks {
		if l.Result == export.ResultFailed {
			failed++
		}
	}
	return &codedError{exitVerify, fmt.Errorf("%s: %d of %d checks failed", r.Dir, failed, len(r.Checks)),
		"Do not rely on it. Keep it as it is, and make the export again from the ledger to compare."}
}
