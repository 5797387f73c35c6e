package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Revoke keys", Args: exactly(), Example: "  recount keys revoke hmac-0123456789abcdef --since 24h",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.keysRevokeCommand())
	return cmd
}

func (a *app) keysRevokeCommand() *cobra.Command {
	var f actFlags
	var since string
	cmd := &cobra.Command{
		Use: "revoke KEY_ID", Short: "Let nothing count that a key signs from now on", Args: exactly("KEY_ID"),
		Long: `revoke takes effect at its event, on every node, and cannot be undone. What the key signed before stands. To take away what it
signed since it was stolen, say since when, and recount with hindsight:

  recount keys revoke KEY_ID --since 2026-11-01T00:00:00Z --ticket INC-9
  recount generation start --policy ID --keys hindsight --ticket INC-9`,
		Example: `  recount keys revoke hmac-0123456789abcdef --reason stolen --ticket INC-9
  recount keys revoke ed-0123456789abcdef --since 36h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parseMoment("--since", since, time.Now())
			if err != nil {
				return err
			}
			r := wire.RevokeRequest{Act: f.act()}
			if !at.IsZero() {
				r.Since = wire.Time(at)
			}
			got, err := askAct(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.RevokeAnswer, error) {
				return c.RevokeKey(ctx, args[0], r)
			})
			if err != nil {
				return err
			}
			return a.show(got, "key", got.KeyID, "counts for nothing after seq", got.Seq, "with hindsight since", got.Since)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "for folds with hindsight: RFC 3339, or a time span before now such as 36h (default: now)")
	f.add(cmd)
	return cmd
}
