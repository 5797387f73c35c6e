package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// freezeFlags say what is frozen or thawed, and why.
type freezeFlags struct {
	opFlags
	shard, key string
}

func (f *freezeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.shard, "shard", "", "only this shard")
	cmd.Flags().StringVar(&f.key, "key", "", "only what this key signs")
	f.opFlags.add(cmd)
}

func (f *freezeFlags) request() (wire.FreezeRequest, error) {
	r := wire.FreezeRequest{Scope: wire.FreezeAll}
	switch {
	case f.shard != "" && f.key != "":
		return r, usagef("give --shard or --key, not both; freeze twice for both")
	case f.reason == "":
		return r, usagef("--reason is required: agents and auditors will ask why")
	case f.shard != "":
		r.Scope, r.Subject = wire.FreezeShard, f.shard
	case f.key != "":
		r.Scope, r.Subject = wire.FreezeKey, f.key
	}
	return r, nil
}

// freezeCommands implements freeze, thaw and the list of freezes.
type freezeCommands struct{ *app }

func (a freezeCommands) command() *cobra.Command {
	var f freezeFlags
	cmd := &cobra.Command{
		Use: "freeze", Short: "Freeze: refuse new submissions on every node", Args: exactArgs(),
		Long: `freeze is an event in the log. After it every node refuses new submissions with 503 and Retry-After, until the thaw.
Reads still work, repeated records get their first answer, and operators can go on working. Agents get 503 and
must send again. A record that an agent sends again after newer epochs of its shard does not count (epoch_regression), unless
the policy has epochs: {late_window: N}. Freezing twice changes nothing.

During an incident: freeze, then investigate (recount canary, recount audit), publish the fix, recount, activate, thaw.`,
		Example: `  recount freeze --reason "forgeries are accepted" --ticket INC-2
  recount freeze --shard lab-7 --reason "agent sends nonsense"
  recount freeze --key hmac-0123456789abcdef --reason "may be stolen" --ticket INC-3`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.freezeOrThaw(cmd.Context(), &f, false, (*client.Client).Freeze)
			if err == nil && f.shard != "" {
				a.noteNewShard(cmd.Context(), f.shard)
			}
			return err
		},
	}
	f.add(cmd)
	cmd.AddCommand(a.listCommand())
	return cmd
}

func (a freezeCommands) thawCommand() *cobra.Command {
	var f freezeFlags
	cmd := &cobra.Command{
		Use: "thaw", Short: "End a freeze", Args: exactArgs(),
		Long: `thaw ends the freeze of exactly the scope named: a freeze of everything needs no flag, one of a shard or key needs the same flag.
Several freezes can be in force at once. recount freeze list lists them.`,
		Example: `  recount thaw --reason "policy 95ca8b01 is active" --ticket INC-2
  recount thaw --shard lab-7 --reason "agent fixed"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.freezeOrThaw(cmd.Context(), &f, true, (*client.Client).Thaw)
		},
	}
	f.add(cmd)
	a.waitFlag(cmd)
	return cmd
}

func (a freezeCommands) freezeOrThaw(ctx context.Context, f *freezeFlags, thaw bool,
	do func(*client.Client, context.Context, wire.FreezeRequest) (*wire.FreezeAnswer, error)) error {
	r, err := f.request()
	if err != nil {
		return err
	}
	r.Op = a.op(&f.opFlags)
	got, err := callOperation(ctx, a.app,
		func(ctx context.Context, c *client.Client) (_ *wire.FreezeAnswer, err error) {
			if r.Scope == wire.FreezeKey {
				if r.Subject, err = findKey(ctx, c, r.Subject); err != nil {
					return nil, err
				}
			}
			return do(c, ctx, r)
		})
	if err != nil {
		return err
	}
	return showFreeze(ctx, a.app, got, thaw)
}

// noteNewShard prints a note when nothing was ever submitted for a shard that was frozen: the name may be a slip, and
// then nothing is frozen.
func (a freezeCommands) noteNewShard(ctx context.Context, shard string) {
	_, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.ShardAnswer, error) {
		return c.Shard(ctx, shard, client.Read{})
	})
	if errors.Is(err, client.ErrNotFound) {
		a.notef("Note: nothing was ever submitted for shard %q. Is it written right? \"recount shard list\" lists them.",
			shard)
	}
}

func (a freezeCommands) listCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List all freezes, thawed ones too", Args: exactArgs(),
		Example: `  recount freeze list --as-of 58
  recount freeze list -o json | jq '.[] | select(.thawed_seq == null)'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.FreezesPage, error) {
					return client.FreezesAsOf(ctx, c, read)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, f wire.FreezeAnswer) {
				t.row(f.Scope, dash(f.Subject), f.Seq, f.At, thawText(f.ThawedSeq), f.Reason, dash(f.Ticket),
					dash(f.Actor))
			}, word("SCOPE", 1), text("SUBJECT", 2, 10), count("FROZEN SEQ", 7), moment("AT", 5),
				word("THAWED SEQ", 3), text("REASON", 4, 10), text("TICKET", 8, 8), text("ACTOR", 6, 8)).
				because("nothing was ever frozen")
			for _, f := range page.Items {
				if err := l.add(f); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	asOf.add(cmd, false)
	return cmd
}

func thawText(seq uint64) string {
	if seq == 0 {
		return "holds"
	}
	return number(&seq)
}

func (a shardCommands) knownCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "known",
		Short: "Register known shards, so that others stand out",
		Args:  exactArgs(),
		Long: `A stolen key often signs records of unknown shards. Registering known shards changes no outcome. It lets you ask:

  recount audit --unknown-shards --since 2026-01-19T10:00:00Z`,
		Example: "  recount shard known add 'lab-*' shard-001\n  recount shard known list",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.knownAddCommand(), a.knownListCommand())
	return cmd
}

func (a shardCommands) knownAddCommand() *cobra.Command {
	var f opFlags
	cmd := &cobra.Command{
		Use: "add PATTERN...", Short: "Register known shards: ids, or a prefix and a star",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactArgs("PATTERN")(cmd, args)
			}
			return nil
		},
		Example: `  recount shard known add 'lab-*' shard-001 --ticket OPS-9`,
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.KnownShardsAnswer, error) {
					return c.AddKnownShards(ctx, wire.KnownShardsRequest{Op: a.op(&f), Patterns: args})
				})
			if err != nil {
				return err
			}
			return a.printFields(got, "seq", got.Seq, "shards", scopeText(got.Patterns))
		},
	}
	f.add(cmd)
	return cmd
}

func (a shardCommands) knownListCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List the registrations of known shards", Args: exactArgs(),
		Example: `  recount shard known list -o json
  recount shard known list --as-of 58`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.KnownShardsPage, error) {
					return client.KnownShardsAsOf(ctx, c, read)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, k wire.KnownShardsAnswer) {
				t.row(k.Seq, k.At, scopeText(k.Patterns), dash(k.Actor), dash(k.Ticket))
			}, count("SEQ", 2), moment("AT", 3), text("SHARDS", 1, 16), text("ACTOR", 4, 8), text("TICKET", 5, 8)).
				because("no shard was registered as known; \"recount shard known add\" does it")
			for _, k := range page.Items {
				if err := l.add(k); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	asOf.add(cmd, false)
	return cmd
}
