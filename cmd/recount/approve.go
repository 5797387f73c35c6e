package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

const approveHelp = `Where nodes have auth.two_person, an activation, a rollback and a thaw need a yes of two actors. The first one asks: the
command ends with exit code 4 and names an op_id. The second one looks ("recount approve list") and approves it within an hour of
log time. Then either of them gives the command again with --op-id. Who has made the other's token, also through tokens in between, is no second person.`

func (a *app) approveCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: "approve OP_ID", Short: "Say yes, as a second actor, to what another one has asked for", Args: exactly("OP_ID"), Long: approveHelp,
		Example: `  recount generation activate 2 --diff DIGEST --op-id fix-7 --ticket INC-7     # alice: asks
  recount approve list                                                         # bob: looks
  recount approve fix-7 --reason "diff reviewed" --ticket INC-7                # bob: says yes
  recount generation activate 2 --diff DIGEST --op-id fix-7 --ticket INC-7     # alice: does it`,
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := askAct(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.ApprovalAnswer, error) {
				id, err := findApproval(ctx, c, args[0])
				if err != nil {
					return nil, err
				}
				return c.Approve(ctx, wire.ApprovalRequest{Approve: id, Act: a.act(&f)})
			})
			if err != nil {
				return err
			}
			a.talk("Approved. Give the command again with --op-id %s before %s.", got.OpID, got.ExpiresAt)
			return a.show(got, "op_id", got.OpID, "act", got.Act, "request", got.Request, "yes from", strings.Join(got.Actors, " "), "until", got.ExpiresAt)
		},
	}
	f.add(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List what waits for a second actor", Args: exactly(),
		Example: "  recount approve list\n  recount approve list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := ask(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.ApprovalsPage, error) { return c.Approvals(ctx) })
			if err != nil {
				return err
			}
			l := newList(a, func(t *table, x wire.ApprovalAnswer) {
				t.row(x.OpID, x.Act, x.Request, strings.Join(x.Actors, " "), x.ExpiresAt, dash(x.Reason), dash(x.Ticket))
			}, keyID("OP_ID", 1), text("ACT", 2, 12), text("REQUEST", 3, 16), text("YES FROM", 4, 8), moment("UNTIL", 5), text("REASON", 6, 10), text("TICKET", 7, 8)).because("nothing waits for a second actor")
			for _, item := range page.Items {
				if err := l.add(item); err != nil {
					return err
				}
			}
			return l.end()
		},
	})
	return cmd
}
