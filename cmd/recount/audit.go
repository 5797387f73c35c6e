package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// auditFlags are the filters that audit and tail share.
type auditFlags struct {
	client.AuditQuery
	since, until string
}

func (f *auditFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Shard, "shard", "", "only this shard")
	flags.StringVar(&f.Key, "key", "", "only records that this key id verified")
	flags.StringVar(&f.Outcome, "outcome", "", "only accepted, escalated, refused or conflict")
	flags.StringVar(&f.Reason, "reason", "", "only this reason code, such as d_hat_mismatch")
	flags.BoolVar(&f.UnknownShards, "unknown-shards", false, "only shards that nobody registered (recount known-shards)")
	flags.IntVar(&f.Limit, "limit", 0, "stop after so many rows (0: no limit)")
	readFlags(cmd, &f.Read)
}

func (f *auditFlags) parse(now time.Time) (err error) {
	if f.Limit < 0 {
		return usagef("--limit must not be negative")
	}
	if f.Since, err = parseMoment("--since", f.since, now); err != nil {
		return err
	}
	if f.Until, err = parseMoment("--until", f.until, now); err != nil {
		return err
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Since.After(f.Until) {
		return usagef("--since %s is later than --until %s: nothing can be between them", wire.Time(f.Since), wire.Time(f.Until))
	}
	return nil
}

// parsePast is parseMoment for what has begun already: a mistyped year must not look like a clean list.
func parsePast(flag, text string) (time.Time, error) {
	now := time.Now()
	t, err := parseMoment(flag, text, now)
	if err == nil && t.After(now.Add(time.Minute)) {
		err = usagef("%s %s is in the future; it is %s now", flag, wire.Time(t), wire.Time(now))
	}
	return t, err
}

// parseMoment reads an RFC 3339 date-time or a duration before now, such as 15m or 2d.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := parseSpan(text); err == nil && ago >= 0 {
		if now.Add(-ago).Before(time.Unix(0, 0)) {
			return time.Time{}, usagef("%s %q: is longer ago than 1970-01-01T00:00:00Z", flag, text)
		}
		return now.Add(-ago), nil
	}
	t, err := wire.ParseTime(text)
	if err == nil && !t.After(time.Unix(0, 0)) {
		return t, usagef("%s %q: must be later than 1970-01-01T00:00:00Z", flag, text)
	}
	if err != nil {
		return t, usagef("%s %q: must be a date-time such as 2026-01-02T15:04:05Z or a time span before now such as 15m or 2d", flag, text)
	}
	return t, nil
}

// parseSpan reads a duration, also in days: 2d.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

func (a *app) auditList() *list[wire.AuditItem] {
	return newList(a, auditRow, usual(count("SEQ", 1), 6), moment("LOG TIME", 6), count("STATUS", 8), usual(word("OUTCOME", 2), 9), extra(word("ACCEPTED", 10)),
		usual(text("REASON", 4, 10), 14), usual(text("SHARD", 5, 10), 12), count("EPOCH", 9), usual(hexID("PCS_ID", 3), 16), usual(keyID("KEY", 7), 21))
}

func auditRow(t *table, i wire.AuditItem) {
	t.row(i.Seq, i.LogTime, i.Status, i.Outcome, i.Accepted, dash(i.ReasonCode), dash(i.ShardID), i.Epoch, dash(i.PCSID), dash(i.KeyID))
}

func (a *app) auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "List submissions and what the ledger says of them", Args: exactly(),
		Long: `audit lists submission events in the order of the log. With -o ndjson rows are printed as they arrive; an error in
between ends the command with its exit code, so a list is complete if and only if the exit code is 0.`,
		Example: `  recount audit --dev /tmp/recount --outcome escalated --limit 20
  recount audit --shard shard-001 --since 15m -o ndjson | jq -r .pcs_id
  recount audit --key hmac-0123456789abcdef --reason d_hat_mismatch`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.parse(time.Now()); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.walkAudit(cmd.Context(), c, f.AuditQuery)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.since, "since", "", "from this log time: RFC 3339, or a time span before now such as 15m")
	cmd.Flags().StringVar(&f.until, "until", "", "up to this log time, likewise")
	cmd.Flags().Uint64Var(&f.FromSeq, "from-seq", 0, "from this seq")
	return cmd
}

// walkAudit pages by hand, so that --timeout bounds one page and not the whole list.
func (a *app) walkAudit(ctx context.Context, c *client.Client, q client.AuditQuery) error {
	l := a.auditList()
	const size = 1000
	for left := q.Limit; ; {
		if q.Limit = size; left > 0 {
			q.Limit = min(left, size)
		}
		page, err := a.auditPage(ctx, c, q)
		if err != nil {
			return errors.Join(l.cut(), err)
		}
		for _, item := range page.Items {
			if err := l.add(item); err != nil {
				return err
			}
		}
		done := left > 0 && left <= len(page.Items)
		if left -= len(page.Items); done || page.NextCursor == "" {
			return l.end()
		}
		q.Cursor, q.MinSeq = page.NextCursor, max(q.MinSeq, page.AppliedSeq)
	}
}

func (a *app) auditPage(ctx context.Context, c *client.Client, q client.AuditQuery) (*wire.AuditPage, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return c.AuditPage(ctx, q)
}

func (a *app) tailCommand() *cobra.Command {
	var f auditFlags
	var last uint64
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the submissions as they are committed", Args: exactly(),
		Long: `tail prints submissions as they are committed, until it is interrupted or --limit rows are out. It starts --last events
before the end of the log, or at --from-seq. When the nodes are away it waits for them.`,
		Example: `  recount tail --dev /tmp/recount
  recount tail --from-seq 1 -o ndjson --outcome refused
  recount tail --shard shard-001 --limit 1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format == formatJSON {
				return usagef("tail prints a stream: use -o ndjson or -o table")
			}
			if err := f.parse(time.Now()); err != nil {
				return err
			}
			return a.tail(cmd.Context(), f.AuditQuery, last)
		},
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&f.FromSeq, "from-seq", 0, "start at this seq")
	cmd.Flags().Uint64Var(&last, "last", 10, "start so many events before the end, without --from-seq")
	return cmd
}

func (a *app) tail(ctx context.Context, q client.AuditQuery, last uint64) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if q.FromSeq == 0 {
		first, cancel := context.WithTimeout(ctx, a.timeout)
		head, err := c.Digest(first, 0)
		cancel()
		if err != nil {
			return err
		}
		q.FromSeq = head.Seq - min(last, head.Seq) + 1
	}
	l := a.auditList()
	for item, err := range c.Tail(ctx, q, client.TailConfig{}) {
		switch {
		case errors.Is(err, context.Canceled):
			return nil // an interrupt is the usual end
		case err != nil:
			return err
		}
		if err := errors.Join(l.add(item), l.flush()); err != nil {
			return err
		}
	}
	return nil
}
