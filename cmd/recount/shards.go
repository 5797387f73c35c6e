package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

// shardCommands implements the lists of shards, known ones too.
type shardCommands struct{ *app }

func (a shardCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "shard",
		Short:   "List shards with their epochs and counts, show one, register known ones",
		Args:    exactArgs(),
		Example: "  recount shard list\n  recount shard show shard-001\n  recount shard known add 'lab-*'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listCommand(), a.showCommand(), a.knownCommand())
	return cmd
}

func (a shardCommands) listCommand() *cobra.Command {
	var q client.ShardsQuery
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List the shards with their epochs and counts", Args: exactArgs(),
		Long: `list prints the shards that a validly signed record named. A shard whose records were all refused is not listed.
"recount shard show" says of such a shard that it is known from refused records only.

--silent lists only the shards whose newest submission is at least so old. The age is measured in log time, up to the newest event
of the ledger, and not up to now: while no event at all is committed, no shard becomes silent. SILENT FOR has the age.

--as-of gives the list of then, as long as the generation that answered then is kept.`,
		Example: `  recount shard list --dev /tmp/recount
  recount shard list --silent 1h
  recount shard list --as-of 2026-01-02T15:04:05Z`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("silent") && q.Silent < time.Second {
				return usagef("--silent must be a second or more")
			}
			if err := asOf.parse(a.app, &q.Read); err != nil {
				return err
			}
			return a.allShards(cmd.Context(), q)
		},
	}
	cli.Span(cmd.Flags(), &q.Silent, "silent", 0,
		"only shards without a submission for so long, such as 1h or 2d, before the newest event")
	asOf.add(cmd, true)
	readFlags(cmd, &q.Read)
	return cmd
}

func (a shardCommands) showCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "show SHARD_ID", Short: "Show the epoch and the counts of one shard", Args: exactArgs("SHARD_ID"),
		Example: `  recount shard show shard-001
  recount shard show -o json shard-001
  recount shard show shard-001 --as-of 58`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			return a.oneShard(cmd.Context(), args[0], read)
		},
	}
	asOf.add(cmd, true)
	readFlags(cmd, &read)
	return cmd
}

func (a shardCommands) oneShard(ctx context.Context, id string, read client.Read) error {
	s, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.ShardAnswer, error) {
		return c.Shard(ctx, id, read)
	})
	if err != nil {
		return err
	}
	known := "validly signed records"
	if s.RefusedOnly {
		known = "only refused records; recount audit --shard lists them"
	}
	if s.AtLeast {
		known += "; there are more than were counted"
	}
	return a.printFields(s, append(asOfPairs(s.AsOf), "shard", s.ShardID, "known from", known, "epoch", number(s.Epoch),
		"epoch seq", s.EpochSeq, "submissions", s.Submissions, "accepted", s.Accepted, "escalated", s.Escalated,
		"refused", s.Refused, "conflicts", s.Conflicts, "first seq", s.FirstSeq, "last seq", s.LastSeq,
		"last at", s.LastAt)...)
}

func (a shardCommands) allShards(ctx context.Context, q client.ShardsQuery) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	l := a.shardList(q.Silent > 0)
	for page, err := range client.ShardPages(ctx, c, q) {
		if err != nil {
			return err
		}
		for _, s := range page.Items {
			if err := l.add(shardOfPage{s, page.LogTime}); err != nil {
				return err
			}
		}
	}
	if err := l.end(); err != nil {
		return err
	}
	a.noteUnconfirmed(ctx, c, q.Read)
	return nil
}

// shardOfPage is a shard with the log time of the newest event that the list knows. As JSON it is the shard alone.
type shardOfPage struct {
	wire.ShardAnswer
	head string
}

// MarshalJSON writes what the node sent of the shard.
func (s shardOfPage) MarshalJSON() ([]byte, error) { return json.Marshal(s.ShardAnswer) }

// silence is the time from the newest submission of the shard to the newest event of the ledger.
func (s shardOfPage) silence() string {
	last, err := wire.ParseTime(s.LastAt)
	head, err2 := wire.ParseTime(s.head)
	if err != nil || err2 != nil {
		return "-"
	}
	return head.Sub(last).Truncate(time.Second).String()
}

func (a shardCommands) shardList(silent bool) *list[shardOfPage] {
	head := []any{text("SHARD", 1, 12), count("EPOCH", 2), count("SUBMISSIONS", 3), count("ACCEPTED", 4),
		count("ESCALATED", 6), count("REFUSED", 5), count("CONFLICTS", 7), count("LAST SEQ", 9), moment("LAST AT", 8)}
	none := "no shard is known: nothing that names one was submitted"
	if silent {
		head, none = append(head, count("SILENT FOR", 2)), "every shard had a submission within this time"
	}
	return newList(a.app, func(t *table, s shardOfPage) {
		cells := []any{s.ShardID, number(s.Epoch), s.Submissions, s.Accepted, s.Escalated, s.Refused, s.Conflicts,
			s.LastSeq, s.LastAt}
		if silent {
			cells = append(cells, s.silence())
		}
		t.row(cells...)
	}, head...).because(none)
}
