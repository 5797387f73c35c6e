package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// policyInterval is one line of policy history.
type policyInterval struct {
	Policy string `json:"policy"`
	wire.PolicyInterval
}

// policyHistory puts the intervals of all policies into the order of the log.
func policyHistory(page *wire.PoliciesPage) (all []policyInterval) {
	for _, p := range page.Items {
		for _, i := range p.Intervals {
			all = append(all, policyInterval{p.ID, i})
		}
	}
	slices.SortFunc(all, func(x, y policyInterval) int { return cmp.Compare(x.FromSeq, y.FromSeq) })
	return all
}

// untilSeq is the end of an interval, "-" while there is none.
func untilSeq(seq uint64) string {
	if seq == 0 {
		return "-"
	}
	return strconv.FormatUint(seq, 10)
}

func (a policyCommands) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "Show which policy was in force when", Args: exactArgs(),
		Long: `history lists the intervals in which each policy was in force: submissions after event FROM SEQ and before event TO SEQ were
first answered under it. BY tells how it came into force: genesis, applied, activated with a generation, or rolled_back. For the
answers of a recount to earlier submissions see: recount audit --policy, --as-of.`,
		Example: `  recount policy history
  recount policy history -o json | jq '.[] | select(.from <= "2026-01-19" and (.to // "9999") > "2026-01-19")'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.PoliciesPage, error) {
					return c.Policies(ctx)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, i policyInterval) {
				t.row(i.FromSeq, i.From, untilSeq(i.ToSeq), dash(i.To), i.Policy, i.By, i.Generation,
					dash(i.Actor), dash(i.Reason), dash(i.Ticket))
			}, count("FROM SEQ", 1), moment("FROM", 4), count("TO SEQ", 2), moment("TO", 5), hexID("POLICY", 3),
				word("BY", 6), count("GENERATION", 9), text("ACTOR", 7, 8), text("REASON", 8, 10),
				text("TICKET", 10, 6)).because("the node names no intervals; is it of an older release?")
			for _, i := range policyHistory(page) {
				if err := l.add(i); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
}
