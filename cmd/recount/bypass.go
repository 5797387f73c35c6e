package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// bypassFlags has the flags of incident bypass.
type bypassFlags struct {
	confirmFlags
	since, out, fix, policy string
	dryRun                  bool
	limit                   time.Duration
}

// tried is the number of the newest submissions that a fix is tried over before it is published. The diff of
// the generation covers all of them.
const tried = 10_000

func (a incidentCommands) bypassCommand() *cobra.Command {
	var f bypassFlags
	cmd := &cobra.Command{
		Use: "bypass", Short: "Handle a verification bypass: freeze, fix, recount, keep the evidence",
		Args:        exactArgs(),
		Annotations: exportsVars("POLICY", "GEN", "POSITION", "DIGEST", "BUNDLE"),
		Long: `incident bypass runs these steps in order. You can repeat it safely. It

 1. sends the canaries: known-bad records that must be refused (recount canary)
 2. freezes new submissions if one was accepted, after you confirm. Repeated records and reads go on
 3. lists the policies and the operations since --since, to find the change that opened the hole
 4. with --fix FILE or --policy ID: checks the policy, tries it over the newest events, publishes it, starts a generation under it,
    waits for every node, and shows the changes
 5. writes a bundle below --out: incident.json, index.html, and with a recount submissions.ndjson and flips.ndjson
 6. prints the command that activates the recount. It never activates or thaws by itself.

Run it first without --fix, write the fix, run it with --fix, activate, and run it once more. It sends the canaries again and prints
the command that thaws when all are refused. It finds finished steps and does not repeat them. --dry-run changes nothing: it sends the
canaries, lists, checks and tries, and prints the steps that it would take. docs/runbooks/verifier-bypass.md has the steps by hand.`,
		Example: `  recount incident bypass --reason "canary let through" --ticket INC-7
  recount incident bypass --reason "canary let through" --ticket INC-7 --fix fix.yaml --dry-run
  recount incident bypass --reason "canary let through" --ticket INC-7 --fix fix.yaml --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.reason == "":
				return usagef("--reason is required: agents and auditors will ask why")
			case f.fix != "" && f.policy != "":
				return usagef("give --fix FILE or --policy ID, not both")
			}
			after, err := a.past(f.since)
			if err != nil {
				return err
			}
			return a.bypassIncident(cmd.Context(), &f, after)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.fix, "fix", "", "file with the policy that fixes the verifier (recount policy new)")
	flags.StringVar(&f.policy, "policy", "", "or the id of a published one, at least its first 8 digits")
	flags.StringVar(&f.since, "since", "30d", "from when on to list what operators did: "+when.Forms+" before now")
	flags.StringVar(&f.out, "out", ".", "directory in which the bundle is made")
	flags.BoolVar(&f.dryRun, "dry-run", false, "change nothing: send the canaries, check the fix, and print the steps")
	flags.StringVar(&f.reason, "reason", "", "why; kept in the log (required)")
	flags.StringVar(&f.ticket, "ticket", "", "number of the incident; kept in the log")
	flags.BoolVarP(&f.yes, "yes", "y", false,
		"freeze, and accept a fix that accepts refused records, without asking (for scripts)")
	cli.Span(flags, &f.limit, "wait-timeout", longestWait, "how long to wait for the nodes to fold history")
	return cmd
}

// bypass is one run of incident bypass.
type bypass struct {
	incidentCommands
	c      *client.Client
	f      *bypassFlags
	in     *incident.Bypass
	fix    *verify.Policy       // nil without --fix and --policy
	text   []byte               // of --fix
	pages  wire.GenerationsPage // as they were at the beginning
	round  *canary.Report
	flips  bytes.Buffer // lines
	lines  bytes.Buffer // audit rows of the submissions that change
	active bool         // the fix answers already
}

func (a incidentCommands) bypassIncident(ctx context.Context, f *bypassFlags, after time.Time) error {
	in := incident.Bypass{
		State:      incident.StateFound,
		Dangers:    []string{},
		Operations: []incident.Operation{},
		Tally:      incident.NewTally(),
	}
	b := &bypass{incidentCommands: a, f: f, in: &in}
	b.in.Reason, b.in.Ticket = f.reason, f.ticket
	if err := b.readFix(); err != nil { // before anything is done
		return err
	}
	if !f.dryRun {
		if err := mayWriteBelow(f.out); err != nil {
			return err
		}
	}
	a.noteCluster(ctx)
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	b.c = c
	if err := b.steps(ctx, after); err != nil {
		return err
	}
	a.origin(ctx, c, &b.in.Origin)
	if !f.dryRun {
		if err := b.bundle(); err != nil {
			return err
		}
	}
	return errors.Join(b.show(), b.verdict())
}

func (b *bypass) steps(ctx context.Context, after time.Time) error {
	look := func(ctx context.Context) error { return b.look(ctx, after) }
	for _, step := range []func(context.Context) error{b.canary, look, b.freeze, b.tryFix, b.publish, b.recount} {
		if err := step(ctx); err != nil {
			if errors.Is(err, client.ErrOutcomeUnknown) {
				return &codedError{exitUnknown, err,
					"It may or may not be done. Give the same command again: what is done is found, and not " +
						"done twice."}
			}
			return err
		}
	}
	b.next()
	return nil
}

// readFix reads the file of --fix. Nothing was asked for yet.
func (b *bypass) readFix() (err error) {
	if b.f.fix == "" {
		return nil
	}
	if b.text, err = os.ReadFile(b.f.fix); err != nil {
		return usagef("--fix: %w", err)
	}
	p, err := publish.Parse(b.text)
	if err != nil {
		return &codedError{exitRejected, fmt.Errorf("--fix %s: %w", b.f.fix, err),
			"Nothing was done. Fix the places named above."}
	}
	b.useFix(p)
	return nil
}

// useFix records a policy as the fix.
func (b *bypass) useFix(p verify.Policy) {
	b.fix, b.in.Fix = &p, fmt.Sprintf("%x", p.ID())
	b.in.Dangers = append(b.in.Dangers, p.Dangers()...)
	for _, danger := range b.in.Dangers {
		b.notef("Warning: the fix: %s.", danger)
	}
}

func (b *bypass) canary(ctx context.Context) (err error) {
	if b.round, err = b.canaryRound(b.c, false).Run(ctx); err != nil {
		return err
	}
	r := b.round
	b.in.Canaries = append(b.in.Canaries,
		incident.Canaries{At: r.At, Sent: r.Sent, Refused: r.Refused, LetThrough: r.LetThrough,
			Frozen: r.Frozen, NoAnswer: r.NoAnswer})
	b.notef("1. Canaries: %d of %d let through, %d refused, %d stopped only by a freeze, %d without an answer.",
		r.LetThrough, r.Sent, r.Refused, r.Frozen, r.NoAnswer)
	return nil
}

// look finds what stands: freezes, policies, generations and what operators did.
func (b *bypass) look(ctx context.Context, after time.Time) error {
	freezes, err := withTimeout(ctx, b.app, b.c.Freezes)
	if err != nil {
		return err
	}
	for _, f := range freezes.Items {
		if f.Scope == wire.FreezeAll && f.ThawedSeq == 0 {
			b.in.Freeze, b.in.State = &f, incident.StateFrozen
		}
	}
	policies, err := withTimeout(ctx, b.app, b.c.Policies)
	if err != nil {
		return err
	}
	b.in.Policies = policies.Items
	if b.f.policy != "" {
		p, err := withTimeout(ctx, b.app, func(ctx context.Context) (*wire.PolicyAnswer, error) {
			return findPolicy(ctx, b.c, b.f.policy)
		})
		if err != nil {
			return err
		}
		parsed, err := trial.PolicyOf(p)
		if err != nil {
			return err
		}
		b.useFix(parsed)
	}
	pages, err := withTimeout(ctx, b.app, b.c.Generations)
	if err != nil {
		return err
	}
	b.pages = *pages
	for _, g := range pages.Items {
		b.active = b.active || b.fix != nil && g.Generation == pages.Active && g.Policy == b.in.Fix
	}
	add := func(i wire.OperationItem) error {
		operation := incident.Operation{
			Seq:    i.Seq,
			At:     i.LogTime,
			Actor:  i.Actor,
			What:   operationText(i),
			Reason: i.Reason,
			Ticket: i.Ticket,
		}
		b.in.Operations = append(b.in.Operations, operation)
		return nil
	}
	return b.eachOperation(ctx, b.c, &operationsFlags{after: after}, add, func() error { return nil })
}

// freeze stops new submissions when the canaries say that it must, or when history is to be recounted.
func (b *bypass) freeze(ctx context.Context) error {
	switch {
	case b.in.Freeze != nil:
		b.notef("2. Frozen since event %d.", b.in.Freeze.Seq)
		return nil
	case b.round.LetThrough == 0 && (b.fix == nil || b.active):
		b.notef("2. No canary was let through, so nothing is frozen.")
		return nil
	case b.f.dryRun:
		b.plan("freeze new submissions")
		return nil
	}
	b.f.does, b.f.then = "freezes new submissions", "Agents get 503 from then on, until somebody thaws."
	err := b.confirm(ctx, &b.f.confirmFlags, "incident bypass will",
		func(context.Context, *client.Client) (string, string, error) {
			return "freeze",
				"new submissions of every shard and key are refused, reads and repeated records are answered", nil
		})
	if err != nil {
		return err
	}
	got, err := withTimeout(ctx, b.app, func(ctx context.Context) (*wire.FreezeAnswer, error) {
		return b.c.Freeze(ctx, wire.FreezeRequest{Scope: wire.FreezeAll, Op: b.newOp()})
	})
	if err != nil {
		return err
	}
	b.in.Freeze, b.in.State = got, incident.StateFrozen
	b.notef("2. Frozen after event %d.", got.Seq)
	return nil
}

// newOp is an operation with a name of its own: what this command does once is found by what it did, not by a name.
func (b *bypass) newOp() wire.Op {
	return b.op(&opFlags{reason: b.f.reason, ticket: b.f.ticket})
}

// plan notes what a dry run leaves out.
func (b *bypass) plan(format string, args ...any) {
	b.in.Planned = append(b.in.Planned, fmt.Sprintf(format, args...))
}

// verdict is an error when the fix answers and does not hold.
func (b *bypass) verdict() error {
	if !b.active || b.round.LetThrough+b.round.Frozen == 0 {
		return nil
	}
	err := fmt.Errorf("policy %.16s is active, and the verifier still accepts %d of %d canaries", b.in.Fix,
		b.round.LetThrough+b.round.Frozen, b.round.Sent)
	return &codedError{exitVerify, err, "Do not thaw. Write another fix and give it with --fix."}
}
