package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/internal/when"
)

// exportCommands implements recount export.
type exportCommands struct{ *app }

func (a exportCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Export a part of the ledger to read and check without a node",
		Args:  exactArgs(),
		Long: `export copies a range of the ledger out of the cluster. It reads only and needs a token of the role auditor. docs/auditing.md
shows which command answers which question of an auditor.`,
		Example: `  recount export dir november --since 2026-11-01 --until 2026-12-01
  recount export verify november
  recount export postgres --print-schema | psql audit`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.dirCommand(), a.verifyCommand(), a.postgresCommand())
	return cmd
}

// exportFlags select what is exported.
type exportFlags struct {
	from, to     uint64
	since, until string
	shard        string
}

func (a exportCommands) dirCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "dir DIR",
		Short: "Write a range of the ledger into a directory that can be checked without a node",
		Args:  exactArgs("DIR"),
		Long: `dir makes the directory DIR, which must not be there or be empty. It holds the events of the range with the records byte for
byte, the answers of the ledger, all policies, the public parts of the keys, the operations, the digests of the
log at both ends, a table for spreadsheets and a page to read and print (index.html). Secrets are in no export.

Without flags the range is the whole ledger. With --shard it holds only the submissions that name the shard. Their signatures
and verdicts can be checked, but not that the list is complete.

The answers are those after the last event of the range, with the first and the current answer beside them.

The directory gets its name when it is complete and on disk. An interrupted export leaves nothing behind. "recount export
verify DIR" checks it, and docs/formats-export.md describes every file.`,
		Example: `  recount export dir november --since 2026-11-01 --until 2026-12-01
  recount export dir all --dev /tmp/recount
  recount export dir incident-7 --from-seq 812 --to-seq 90112
  recount export dir lab-7 --shard lab-7`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(a.app, args[0])
			if err != nil {
				return err
			}
			return a.writeDir(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.from, "from-seq", 0, "first event (default: the first of the ledger)")
	flags.Uint64Var(&f.to, "to-seq", 0, "last event (default: the last of the ledger)")
	flags.StringVar(&f.since, "since", "", "from this log time on: "+when.Forms+" before now")
	flags.StringVar(&f.until, "until", "", "before this log time, likewise")
	flags.StringVar(&f.shard, "shard", "", "only submissions that name this shard, refused ones too")
	return cmd
}

func (f *exportFlags) options(a *app, dir string) (o export.Options, err error) {
	if f.to != 0 && f.to < f.from {
		return o, usagef("--to-seq %d is below --from-seq %d", f.to, f.from)
	}
	o = export.Options{
		Dir:     dir,
		FromSeq: f.from,
		ToSeq:   f.to,
		Shard:   f.shard,
		Local:   a.local,
		Tool:    "recount " + version.Name(),
		At:      time.Now(),
		Timeout: a.timeout,
	}
	if o.Since, err = a.past(f.since); err != nil {
		return o, err
	}
	if o.Until, err = a.moment("--until", f.until); err != nil {
		return o, err
	}
	return o, spanOfTimes(o.Since, o.Until)
}

// exported describes the directory that export dir made.
type exported struct {
	Dir         string          `json:"dir"`
	ManifestSum string          `json:"manifest_sum"`
	Manifest    export.Manifest `json:"manifest"`
}

func (a exportCommands) writeDir(ctx context.Context, o export.Options) error {
	a.noteCluster(ctx)
	a.patient = true
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	work := newWork(a.app)
	o.Progress = work.update
	m, err := export.Write(ctx, c, o)
	work.end()
	if err != nil {
		return exportError(err)
	}
	size := uint64(0)
	for _, f := range m.Files {
		size += uint64(f.Size)
	}
	r := m.Range
	if err := a.printFields(exported{o.Dir, m.Sum, *m}, "directory", o.Dir, "cluster", m.ClusterID, "events",
		fmt.Sprintf("%d to %d", r.FromSeq, r.ToSeq), "shard", dash(r.Shard), "log time",
		r.FirstTime+" to "+r.LastTime, "submissions", m.Counts.Submissions, "operations", m.Counts.Operations, "policies",
		m.Counts.Policies, "keys", m.Counts.Keys, "files", len(m.Files)+2, "size", bytesText(&size), "log digest",
		m.End.Log, "manifest sum", m.Sum); err != nil {
		return err
	}
	if o.Shard != "" && m.Counts.Submissions == 0 {
		a.notef("Note: no submission in this range names shard %q. Is it written right? \"recount shard list\" lists them.",
			o.Shard)
	}
	a.notef("Check it with \"recount export verify %s\". Whoever knows the manifest sum from elsewhere can tell "+
		"whether it is this export.",
		shellWord(o.Dir))
	return nil
}

// exportError adds the exit code and the next step to the failure of an export.
func exportError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return &codedError{exitCode(err), err, "Nothing was written, and nothing is left behind. Begin again."}
	case errors.Is(err, export.ErrExists):
		return &codedError{exitUsage, err, "Nothing was written. Name a directory that is not there yet."}
	case errors.Is(err, export.ErrRange):
		return &codedError{exitNotFound, err,
			"Nothing was written. \"recount digest\" shows the last event, \"recount audit --last 1\" the last " +
				"submission."}
	case errors.Is(err, export.ErrDiffers):
		return &codedError{exitVerify, err,
			"Nothing was written. Compare the nodes with \"recount digest\" and keep their data directories."}
	case errors.Is(err, client.ErrCursorGone):
		return &codedError{exitUnavailable, err, "Nothing was written. Another generation answers now; start again."}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR):
		return &codedError{exitUsage, err,
			"Nothing was written. Name a directory that is not there yet, in one that is."}
	}
	return err
}
