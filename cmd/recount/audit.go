package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// auditFlags are the filters that audit and tail share.
type auditFlags struct {
	client.AuditQuery
	since, until string
	last         int
	asOf         asOfFlag
	countBy      []string
}

func (f *auditFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Shard, "shard", "", "only this shard")
	flags.StringVar(&f.Key, "key", "", "only records that this key id verified")
	flags.StringVar(&f.Outcome, "outcome", "", "only accepted, escalated, refused or conflict")
	cli.Closed(cmd, "outcome", wire.OutcomeAccepted, wire.OutcomeEscalated, wire.OutcomeRefused, wire.OutcomeConflict)
	flags.StringVar(&f.Reason, "reason", "", "only this reason code, such as d_hat_mismatch")
	flags.StringVar(&f.PCS, "pcs", "",
		"only submissions that name this record: its pcs_id, or the first digits of it, at least 8; refused ones too")
	flags.StringVar(&f.Policy, "policy", "",
		"only what this policy judged: its id, or the first digits of it, at least 8")
	flags.StringVar(&f.Remote, "remote", "",
		"only what came from this address, or range of addresses such as 10.0.0.0/8")
	flags.StringVar(&f.Filter, "filter", "",
		"only rows for which this condition holds, in the language of policies, such as "+
			`'epoch > 7 && shard_id.startsWith("lab-")'`)
	flags.BoolVar(&f.UnknownShards, "unknown-shards", false,
		"only shards that nobody registered (recount shard known)")
	flags.IntVar(&f.Limit, "limit", 0, "stop after so many rows (0: no limit)")
	readFlags(cmd, &f.Read)
}

func (f *auditFlags) parse(a *app) (err error) {
	switch {
	case f.Limit < 0 || f.last < 0:
		return usagef("--limit and --last must not be negative")
	case f.Limit > 0 && f.last > 0:
		return usagef("give --last or --limit, not both")
	case f.ToSeq != 0 && f.ToSeq < f.FromSeq:
		return usagef("--to-seq %d is below --from-seq %d", f.ToSeq, f.FromSeq)
	}
	if f.last > 0 {
		f.Limit, f.Newest = f.last, true
	}
	if _, err := verify.ParseOutcome(f.Outcome); f.Outcome != "" && err != nil {
		return usagef("--outcome: %w", err)
	}
	if _, err := verify.ParseReason(f.Reason); f.Reason != "" && err != nil {
		return usagef("--reason: %w", err)
	}
	if f.Since, err = a.moment("--since", f.since); err != nil {
		return err
	}
	if f.Until, err = a.moment("--until", f.until); err != nil {
		return err
	}
	if err := spanOfTimes(f.Since, f.Until); err != nil {
		return err
	}
	return f.asOf.parse(a, &f.Read)
}

// spanOfTimes refuses bounds between which nothing can be.
func spanOfTimes(since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && since.After(until) {
		return usagef("--since %s is later than --until %s: nothing can be between them", wire.Time(since),
			wire.Time(until))
	}
	return nil
}

// auditList is the list of submissions with what was answered first, then (in a list as of another time), and now.
func (a auditCommands) auditList(then bool) *list[wire.AuditItem] {
	return a.answersList(then, usual(word("WAS", 4), 9))
}

// answersList is a list with a column for the answer first given.
func (a auditCommands) answersList(then bool, was column) *list[wire.AuditItem] {
	head := []any{usual(count("SEQ", 1), 6), moment("LOG TIME", 6), was}
	if then {
		head = append(head, usual(word("THEN", 3), 9))
	}
	status := "STATUS NOW"
	if then {
		status = "STATUS THEN"
	}
	head = append(head, usual(word("NOW", 2), 9), count(status, 8), extra(word("ACCEPTED", 10)),
		usual(text("REASON", 4, 10), 14), usual(text("SHARD", 5, 10), 12), count("EPOCH", 9),
		usual(hexID("PCS_ID", 3), 16), usual(keyID("KEY", 7), 21), extra(count("GENERATION", 11)),
		extra(text("ADDRESS", 12, 9)), extra(hexID("POLICY", 13)))
	return newList(a.app, auditRow(then), head...)
}

func auditRow(then bool) func(*table, wire.AuditItem) {
	return func(t *table, i wire.AuditItem) {
		now := i.Outcome
		if i.Now != nil {
			now = i.Now.Outcome
		}
		cells := []any{i.Seq, i.LogTime, dash(i.Was.Outcome)}
		if then {
			cells = append(cells, i.Outcome)
		}
		t.row(append(cells, now, i.Status, i.Accepted, dash(i.ReasonCode), dash(i.ShardID), i.Epoch, dash(i.PCSID),
			dash(i.KeyID), i.Generation, dash(i.Remote), dash(i.Policy))...)
	}
}

// auditCommands implements the lists of submissions: audit and tail.
type auditCommands struct{ *app }

func (a auditCommands) command() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "List submissions and their outcomes, or verify the whole ledger", Args: exactArgs(),
		Long: `audit lists submission events in the order of the log, or the newest first, refused ones too. WAS is the first answer, NOW the answer
of the active generation, and STATUS NOW its HTTP status. -o wide adds the generation, the address and the policy of every row.

--as-of gives the list as of an event, a time, or a generation. Outcome, reason and policy, in the filters too, are those of
that moment. A recount records the changes of outcome and accepted. The reason of an answer that it
did not change is known as long as its generation is kept.

--filter takes a condition over the fields of a row as -o json shows them, with the operators of the rules of a policy. Times are
compared with time("2026-01-02T15:04:05Z"), and the numbers of a record with nano("0.25").

--count-by counts the rows instead of listing them, by any of: key, policy, outcome, was, reason, shard, node, address, day. The tool
reads every row that matches and keeps at most 100,000 different counts.

"audit verify" folds the whole ledger again and compares it with what was said of it.

With -o ndjson rows are printed as they arrive. An error ends the command with its exit code, so a list is complete
if and only if the exit code is 0.`,
		Example: `  recount audit --dev /tmp/recount --last 20
  recount audit --outcome escalated --since yesterday --limit 20
  recount audit --shard shard-001 --since 15m -o ndjson | jq -r .pcs_id
  recount audit --key hmac-0123456789abcdef --reason d_hat_mismatch
  recount audit --pcs 65c8f7093db94687 --outcome refused
  recount audit --filter 'outcome == "refused" && !(reason_code in ["bad_signature", "schema"])'
  recount audit --since 7d --outcome accepted --count-by key,policy
  recount audit --shard shard-001 --as-of 2026-01-02T15:04:05Z
  recount audit --as-of "generation 1" --outcome accepted`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.parse(a.app); err != nil {
				return err
			}
			return a.list(cmd.Context(), &f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.since, "since", "", "from this log time on: "+when.Forms+" before now")
	cmd.Flags().StringVar(&f.until, "until", "", "before this log time, likewise")
	cmd.Flags().Uint64Var(&f.FromSeq, "from-seq", 0, "from this seq")
	cmd.Flags().Uint64Var(&f.ToSeq, "to-seq", 0, "up to this seq")
	cmd.Flags().BoolVar(&f.Newest, "reverse", false, "newest first")
	cmd.Flags().IntVar(&f.last, "last", 0, "only the newest so many, newest first")
	f.asOf.add(cmd, true)
	cmd.Flags().StringSliceVar(&f.countBy, "count-by", nil,
		"count the rows by "+strings.Join(countables(), ", ")+"; several are separated by commas")
	cmd.AddCommand(a.verifyCommand())
	return cmd
}

// list prints the rows that match, or their counts.
func (a auditCommands) list(ctx context.Context, f *auditFlags) error {
	f.PageTimeout = a.timeout
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if f.Key != "" {
		if f.Key, err = a.knownKey(ctx, c, f.Key); err != nil {
			return err
		}
	}
	if len(f.countBy) > 0 {
		return a.count(ctx, c, f)
	}
	return a.walk(ctx, c, f)
}

// walk prints the list, page by page. --timeout bounds one page and not the whole list.
func (a auditCommands) walk(ctx context.Context, c *client.Client, f *auditFlags) error {
	l := a.auditList(past(f.Read))
	l.none = func() string { return a.whyNone(ctx, c, f.AuditQuery) }
	for page, err := range c.AuditPages(ctx, f.AuditQuery) {
		if err != nil {
			return errors.Join(l.cut(), err)
		}
		for _, item := range page.Items {
			if err := l.add(item); err != nil {
				return err
			}
		}
		if err := l.flush(); err != nil {
			return err
		}
	}
	if err := l.end(); err != nil {
		return err
	}
	a.noteUnconfirmed(ctx, c, f.Read)
	return nil
}

// knownKey completes the beginning of a key id. It returns one that no key has as it is: the list is empty then, and
// its note gives the reason.
func (a auditCommands) knownKey(ctx context.Context, c *client.Client, given string) (string, error) {
	id, err := withTimeout(ctx, a.app, func(ctx context.Context) (string, error) { return findKey(ctx, c, given) })
	if exitCode(err) == exitNotFound {
		return given, nil
	}
	return id, err
}

// whyNone returns the reason for an empty list, as far as a node knows it: a name that nobody has is no clean record.
func (a auditCommands) whyNone(ctx context.Context, c *client.Client, q client.AuditQuery) string {
	if q.Key != "" {
		if _, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.KeyAnswer, error) {
			return c.Key(ctx, q.Key)
		}); errors.Is(err, client.ErrNotFound) {
			return fmt.Sprintf("no key %q is registered; \"recount key list\" lists those that are", q.Key)
		}
	}
	if q.Shard != "" {
		newest := client.AuditQuery{Shard: q.Shard, Limit: 1, PageTimeout: q.PageTimeout, Read: q.Read}
		if page, err := c.AuditPage(ctx, newest); err == nil && len(page.Items) == 0 {
			return fmt.Sprintf("no submission for shard %q is in the ledger; \"recount shard list\" lists the shards",
				q.Shard)
		}
	}
	if q.Key == "" && q.Shard == "" && q.Outcome == "" && q.Reason == "" && !q.UnknownShards &&
		q.Since.IsZero() && q.Until.IsZero() && q.FromSeq == 0 && q.ToSeq == 0 &&
		q.Policy == "" && q.Filter == "" && q.PCS == "" && q.Remote == "" && !past(q.Read) {
		return "nothing was submitted yet"
	}
	return "no submission is in this selection; leave out a filter, or widen --since and --until"
}

func (a auditCommands) tailCommand() *cobra.Command {
	var f auditFlags
	var last uint64
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the submissions as they are committed", Args: exactArgs(),
		Long: `tail prints submissions as they are committed, until it is interrupted or --limit rows are out. It starts --last events
before the end of the log, or at --from-seq. One node streams them. When its stream ends, tail goes on at another node, without a gap,
and it waits while no node is reachable. The outcomes are those of the generation that is active when a row is printed.`,
		Example: `  recount tail --dev /tmp/recount
  recount tail --from-seq 1 -o ndjson --outcome refused
  recount tail --shard shard-001 --limit 1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format == formatJSON {
				return usagef("tail prints a stream: use -o ndjson or -o table")
			}
			if err := f.parse(a.app); err != nil {
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

func (a auditCommands) tail(ctx context.Context, q client.AuditQuery, last uint64) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if q.Key != "" {
		if q.Key, err = a.knownKey(ctx, c, q.Key); err != nil {
			return err
		}
	}
	if q.FromSeq == 0 {
		first, cancel := context.WithTimeout(ctx, a.timeout)
		head, err := c.Digest(first, 0)
		cancel()
		if err != nil {
			return err
		}
		q.FromSeq = head.Seq - min(last, head.Seq) + 1
	}
	l := a.answersList(false, extra(word("WAS", 4))) // what is new has one answer
	for item, err := range c.Tail(ctx, q) {
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
