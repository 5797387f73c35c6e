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
	"github.com/recount-ledger/recount/wire"
)

// reviewVars are the variables that -o env sets to a generation and the diff of it that was read.
var reviewVars = []string{"GEN", "POSITION", "DIGEST"}

// startFlags say what is folded, and how far the command goes.
type startFlags struct {
	opFlags
	request    wire.GenerationRequest
	try        previewFlags
	wait, diff bool
	limit      time.Duration
}

func (a generationCommands) startCommand() *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use: "start --policy ID", Short: "Build a generation: fold all history under a policy",
		Args: exactArgs(), Long: generationHelp + "\n\n" + previewHelp, Annotations: exportsVars(reviewVars...),
		Example: `  recount generation start --policy 95ca8b018ff1b3ce --ticket INC-7 --wait --diff
  recount generation start --policy 95ca8b018ff1b3ce --from 90112          # the policy judges from this event on
  recount generation start --policy 95ca8b018ff1b3ce --keys hindsight      # what is revoked now counts since its "since"
  eval "$(recount generation start --policy 95ca8b018ff1b3ce --wait --diff -o env)"   # sets GEN, POSITION and DIGEST`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.request.Policy == "" {
				return usagef("--policy is missing; \"recount policy list\" lists the published ones")
			}
			if err := f.try.check(cmd); err != nil {
				return err
			}
			id, err := a.previewPublished(cmd.Context(), &f.try, "generation start",
				f.request.Policy)
			if err != nil {
				return err
			}
			f.request.Policy, f.request.Op = id, a.op(&f.opFlags)
			g, err := a.start(cmd.Context(), f.request)
			if err != nil {
				return err
			}
			if g.Keys == wire.KeysHindsight && !f.try.none {
				a.notef("What was counted is of the policy alone: keys in hindsight change what they signed besides.")
			}
			return a.afterStart(cmd.Context(), g, &f)
		},
	}
	cmd.Flags().StringVar(&f.request.Policy, "policy", "", "id of a published policy, or at least its first 8 digits")
	cmd.Flags().Uint64Var(&f.request.From, "from", 0, "first event that the policy judges (default: the first of all)")
	cmd.Flags().StringVar(&f.request.Keys, "keys", "", "as_of or hindsight (default: as the active generation)")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "return when every node has compared it")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "wait, then print the changes and the command to activate")
	cli.Span(cmd.Flags(), &f.limit, "wait-timeout", longestWait, "how long --wait and --diff wait")
	cli.Closed(cmd, "keys", wire.KeysAsOf, wire.KeysHindsight)
	f.add(cmd)
	f.try.add(cmd)
	return cmd
}

func (a generationCommands) start(ctx context.Context, r wire.GenerationRequest) (*wire.GenerationAnswer, error) {
	return callOperation(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.GenerationAnswer, error) {
		return c.StartGeneration(ctx, r)
	})
}

// afterStart goes as far as the flags say: it returns at once, waits, or shows what changes.
func (a generationCommands) afterStart(ctx context.Context, g *wire.GenerationAnswer, f *startFlags) error {
	if !f.wait && !f.diff {
		a.notef("Every node builds it now: %s",
			a.commandLine(fmt.Sprintf("recount generation status %d --wait", g.Generation)))
		return errors.Join(a.showGeneration(g),
			a.setVars("GEN", fmt.Sprint(g.Generation), "POSITION", "", "DIGEST", ""))
	}
	a.notef("Every node builds generation %d now.", g.Generation)
	g, err := a.awaitGeneration(ctx, g.Generation, f.limit)
	if err != nil {
		return err
	}
	if !f.diff {
		return errors.Join(a.showStatus(g), a.setVars("GEN", fmt.Sprint(g.Generation), "POSITION", "", "DIGEST", ""))
	}
	d, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.DiffAnswer, error) {
		return c.Diff(ctx, g.Generation, 0)
	})
	if err != nil {
		return err
	}
	return a.showReview(ctx, d, "outcome")
}

func (a generationCommands) showGeneration(g *wire.GenerationAnswer) error {
	return a.printFields(g, "generation", g.Generation, "state", g.State, "policy", g.Policy, "keys", g.Keys,
		"started at seq", g.StartedSeq, "activated at seq", dash(join(g.Activated)), "actor", dash(g.Actor),
		"role", dash(g.Role), "reason", dash(g.Reason), "ticket", dash(g.Ticket))
}

// review is a diff with the command that activates exactly what it shows. -o json prints it.
type review struct {
	*wire.DiffAnswer
	Activate string `json:"activate"` // a command line
}

// showReview prints a diff broken down by outcome, reason, shard or key, and the command that activates it. The
// digest in that command begins with the position of the diff, so the command stays good while records come in,
// for a second actor too.
func (a generationCommands) showReview(ctx context.Context, d *wire.DiffAnswer, by string) error {
	r, err := a.review(ctx, d)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.printJSON(r)
	}
	if err := a.diffTable(d, by); err != nil {
		return err
	}
	a.notef("\nTo activate what is shown:\n  %s", r.Activate)
	a.notef("Where nodes want two persons that ends with exit code 4, and the other one looks with \"recount " +
		"approve list\".")
	return a.setVars("GEN", fmt.Sprint(d.Generation), "POSITION", fmt.Sprint(d.Position), "DIGEST", d.Digest)
}

// review adds the command to a diff, with the reason and the ticket of the generation.
func (a generationCommands) review(ctx context.Context, d *wire.DiffAnswer) (*review, error) {
	g, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.GenerationAnswer, error) {
		return c.Generation(ctx, d.Generation)
	})
	if err != nil {
		return nil, err
	}
	return &review{d, a.activateLine(g, d.Digest)}, nil
}

// generationArg is a generation that a command takes: its number, or --latest.
type generationArg struct{ latest bool }

func (g *generationArg) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&g.latest, "latest", false, "instead of N: the newest inactive generation that was not dropped")
}

func (g *generationArg) args(cmd *cobra.Command, args []string) error {
	if !g.latest {
		return exactArgs("N")(cmd, args)
	}
	if len(args) > 0 {
		return usagef("--latest stands for N: leave out %s", strings.Join(args, " "))
	}
	return nil
}

// flag is --latest, where it was given.
func (g *generationArg) flag() []string {
	if g.latest {
		return []string{"--latest"}
	}
	return nil
}

// number returns the number of the generation in the arguments. It prints which one --latest takes.
func (a generationCommands) number(ctx context.Context, g *generationArg, args []string) (uint32, error) {
	if !g.latest {
		return parseGeneration(args[0])
	}
	page, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.GenerationsPage, error) {
		return c.Generations(ctx)
	})
	if err != nil {
		return 0, err
	}
	newest := latestGeneration(page)
	if newest == nil {
		return 0, &codedError{exitNotFound, fmt.Errorf("there is no generation beside %d, which answers", page.Active),
			"\"recount generation start\" makes one; \"recount generation list\" lists them."}
	}
	a.notef("--latest is generation %d: %s, policy %.16s, started at seq %d by %s, %s", newest.Generation,
		newest.State, newest.Policy, newest.StartedSeq, dash(newest.Actor), dash(newest.Reason))
	return newest.Generation, nil
}

// latestGeneration is the newest one that neither answers nor was dropped, nil for none.
func latestGeneration(page *wire.GenerationsPage) (newest *wire.GenerationAnswer) {
	for i, g := range page.Items {
		if g.Generation != page.Active && g.State != wire.GenerationDropped &&
			(newest == nil || g.Generation > newest.Generation) {
			newest = &page.Items[i]
		}
	}
	return newest
}
