package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/internal/cli"
)

// canaryCommands implements recount canary.
type canaryCommands struct{ *app }

func (a canaryCommands) command() *cobra.Command {
	var every time.Duration
	var textfile string
	var submit bool
	cmd := &cobra.Command{
		Use: "canary", Short: "Check that every node refuses known-bad records", Args: exactArgs(),
		Long: `A verifier that accepts forgeries looks healthy: it counts no signature errors, because it finds none. canary asks every
node how it would answer records that must be refused - forged, unsigned, changed after signing, cut signatures, wrong
ids - in the shard ` + canary.Shard + `. Each node runs the code that judges a submission, and logs nothing: a canary does not
make the ledger grow. It needs a token of any role; metrics is enough.

Exit code 7 when one is let through, or stopped by nothing but a freeze: freeze the ledger then,
docs/runbooks/verifier-bypass.md. 5 when a node does not answer.

--submit sends the records as submissions, without a token. That proves the way through the log as well, and every refusal
becomes an event: use it by hand, or for nodes of a release that has no POST /v1/pcs/check.

Run it every minute and alert on both of (deploy/prometheus/alerts.yaml):
  recount_canary_let_through > 0, of --textfile for node_exporter
  no increase of flk_signature_errors while canaries run`,
		Example: `  recount canary --dev /tmp/recount
  recount canary --token-file metrics.token --every 1m --textfile /var/lib/node_exporter/recount_canary.prom
  recount canary --submit`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			report, err := a.canaryRound(c, submit).Repeat(cmd.Context(), every, func(r *canary.Report) error {
				if err := a.showCanaries(r); err != nil || textfile == "" {
					return err
				}
				return r.WriteTextfile(textfile)
			})
			if err != nil {
				return err
			}
			return canaryError(report)
		},
	}
	cli.Span(cmd.Flags(), &every, "every", 0, "repeat with this pause. The exit code is that of the last round")
	cmd.Flags().BoolVar(&submit, "submit", false,
		"submit the records instead of asking about them: refusals become events")
	cmd.Flags().StringVar(&textfile, "textfile", "",
		"file for the text collector of node_exporter, replaced as a whole")
	return cmd
}

func (a canaryCommands) showCanaries(r *canary.Report) error {
	if a.format != formatTable {
		return a.printJSON(r)
	}
	t := a.table(text("NODE", 1, 10), text("CANARY", 2, 12), count("STATUS", 5), text("CODE", 4, 12),
		word("VERDICT", 3))
	for _, l := range r.Lines {
		t.row(l.Node, l.Canary, l.Status, dash(l.Code), strings.ReplaceAll(l.Verdict, "_", " "))
	}
	return t.flush()
}

// canaryError adds the exit code and the next step to the finding of a round.
func canaryError(r *canary.Report) error {
	err := r.Err()
	switch {
	case errors.Is(err, canary.ErrLetThrough):
		return &codedError{exitVerify, err, "The verifier accepts forgeries. Freeze now: recount freeze --reason " +
			"\"canary accepted\". Then follow docs/runbooks/verifier-bypass.md."}
	case errors.Is(err, canary.ErrFrozen):
		return &codedError{exitVerify, err,
			"The verifier accepts them. Do not thaw before it is fixed: docs/runbooks/verifier-bypass.md."}
	case errors.Is(err, canary.ErrTurnedAway):
		return &codedError{exitUnavailable, err,
			"Give a token of any role with --token-file, or --submit to send the records as submissions."}
	case errors.Is(err, canary.ErrNoAnswer):
		return &codedError{exitUnavailable, err,
			"\"recount cluster status\" shows which node is away. A refusal without the problem document of a " +
				"node is no answer: something in between gave it."}
	}
	return err
}

// canaryRound is a round over all endpoints, with a note after each.
func (a *app) canaryRound(c *client.Client, submit bool) *canary.Round {
	return &canary.Round{Nodes: canary.Nodes(c, submit), Logged: submit, Progress: func(endpoint string, sent,
		want int) {
		a.notef("%s: %d of %d canaries sent", endpoint, sent, want)
	}}
}
