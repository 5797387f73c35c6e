package main

import (
	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
)

// oldSpellings returns hidden commands with the names of earlier builds, so that scripts go on. They do what the
// commands of today do, and print the same.
func (a *app) oldSpellings() []*cobra.Command {
	shards := shardCommands{a}
	return []*cobra.Command{
		oldSpelling("keys", keyCommands{a}.command()),
		oldSpelling("acts", operationCommands{a}.command()),
		oldSpelling("freezes", freezeCommands{a}.listCommand()),
		oldSpelling("known-shards", shards.knownCommand()),
		shards.oldCommand(),
	}
}

func oldSpelling(name string, cmd *cobra.Command) *cobra.Command {
	cmd.Use, cmd.Hidden = name, true
	return cmd
}

// oldCommand lists shards like "shard list", or shows one like "shard show".
func (a shardCommands) oldCommand() *cobra.Command {
	var read client.Read
	cmd := &cobra.Command{
		Use: "shards [SHARD_ID]", Short: "List the shards, or show one", Hidden: true,
		Example: "  recount shard list\n  recount shard show shard-001",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("SHARD_ID")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.oneShard(cmd.Context(), args[0], read)
			}
			return a.allShards(cmd.Context(), client.ShardsQuery{Read: read})
		},
	}
	readFlags(cmd, &read)
	return cmd
}
