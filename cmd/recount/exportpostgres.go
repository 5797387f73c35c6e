package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/pgscript"
	"github.com/recount-ledger/recount/wire"
)

// postgresFlags has the flags of export postgres.
type postgresFlags struct {
	schema, follow, full bool
	after                string
	every                time.Duration
}

func (a exportCommands) postgresCommand() *cobra.Command {
	var f postgresFlags
	cmd := &cobra.Command{
		Use: "postgres", Short: "Print a psql script that keeps the audit list in PostgreSQL", Args: exactArgs(),
		Long: `postgres prints SQL for psql, and never talks to a database itself. --print-schema makes the tables recount_audit,
recount_known_shard and recount_cursor, and the views audit_log and known_shards. Without it the script brings the tables from
where the cursor is (--after) to the end of the log: new submissions, the registered patterns of shards and, after an activation
or a rollback, the rows whose answers changed. The cursor moves in the same statement as the rows. So a truncated
script changes nothing, a script that was loaded before is refused, and each batch of 10,000 rows is independent.

A row that no recount flipped keeps the reason, policy and D_hat of the generation that it names. --full reads every row again.
--follow runs until it is interrupted and writes a batch whenever there are new rows. docs/audit-logging.md has a unit for it.`,
		Example: `  recount export postgres --print-schema | psql audit
  recount export postgres --after "$(psql -Atc 'select generation,seq from recount_cursor' audit)" | psql -1 audit
  recount export postgres --after "$(psql -Atc 'select generation,seq from recount_cursor' audit)" --follow | psql audit`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.postgres(cmd.Context(), &f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.schema, "print-schema", false, "print the tables and views instead; asks no node")
	flags.StringVar(&f.after, "after", "",
		"where the tables are: generation and seq of recount_cursor (default: they are empty)")
	flags.BoolVar(&f.full, "full", false,
		"read every row again, so that reason, policy and D_hat are those of the active generation")
	flags.BoolVar(&f.follow, "follow", false, "go on until interrupted")
	cli.Span(flags, &f.every, "every", 2*time.Second, "with --follow: how often to look")
	return cmd
}

func (a exportCommands) postgres(ctx context.Context, f *postgresFlags) error {
	var after pgscript.Cursor
	var err error
	switch {
	case a.format != formatTable || a.wide:
		return usagef("export postgres prints a script for psql; leave -o out")
	case f.schema && (f.after != "" || f.follow || f.full):
		return usagef("--print-schema prints the tables alone: leave --after, --follow and --full out")
	case f.schema:
		_, err = io.WriteString(a.out, pgscript.Schema)
		return err
	case f.every <= 0:
		return usagef("--every must be more than nothing")
	case f.after != "":
		if after, err = pgscript.ParseCursor(f.after); err != nil {
			return usagef("--after %w", err)
		}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	v, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.VersionAnswer, error) { return c.Version(ctx) })
	if err != nil {
		return err
	}
	rows := uint64(0)
	feed := &pgscript.Feed{
		Source:  c,
		To:      a.out,
		Cluster: v.ClusterID,
		After:   after,
		Full:    f.full,
		Local:   a.local,
		Timeout: a.timeout,
		Said:    a.notef,
		Batch:   func(n uint64, _ pgscript.Cursor) { rows += n },
	}
	if !f.follow {
		if err := feed.Run(ctx); err != nil {
			return feedError(err)
		}
		a.notef("%d rows, up to event %d of generation %d", rows, feed.After.Seq, feed.After.Generation)
		return nil
	}
	return a.followPostgres(ctx, feed, f.every)
}

// followPostgres runs a feed again and again. When the nodes are away it waits for them. A database that is
// away ends it, because psql ends.
func (a exportCommands) followPostgres(ctx context.Context, feed *pgscript.Feed, every time.Duration) error {
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		err := feed.Run(ctx)
		switch {
		case errors.Is(err, context.Canceled) && ctx.Err() != nil:
			return nil // an interrupt is the usual end
		case errors.Is(err, client.ErrUnavailable) || errors.Is(err, pgscript.ErrSwitched):
			a.notef("Nothing was read, trying again: %v", err)
		case err != nil:
			return feedError(err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// feedError adds what to do about a script that was not written.
func feedError(err error) error {
	if errors.Is(err, pgscript.ErrBeyond) {
		return &codedError{exitNotFound, err,
			"Nothing was written. Is it the cluster of these tables (\"recount whoami\")? " +
				"If it is, look at recount_cursor: --after takes its generation and its seq."}
	}
	return err
}
