package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// previewFlags are those of what puts a policy to use: how much of history is tried first, and that the answer
// is meant.
type previewFlags struct {
	records int
	none    bool
	yes     bool
}

func (f *previewFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.records, "preview", 10_000, "number of newest submissions on which to try the policy first")
	cmd.Flags().BoolVar(&f.none, "no-preview", false, "do not")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false,
		"go on without asking when the policy accepts refused records, or is dangerous by itself")
}

func (f *previewFlags) check(cmd *cobra.Command) error {
	switch {
	case f.none && cmd.Flags().Changed("preview"):
		return usagef("--preview and --no-preview contradict each other")
	case f.records < 1 || f.records > trial.MaxRecords:
		return usagef("--preview must be in 1..%d; --no-preview leaves it out", trial.MaxRecords)
	}
	return nil
}

// previewHelp explains the preview in the help of all such commands.
const previewHelp = `Before it acts it judges the newest 10000 submissions under the policy, each by itself, and prints how many would change
(--preview, --no-preview). If refused records would be accepted, or "recount policy lint" warns of the policy, it asks you to type the
id of the policy on a terminal, and needs --yes elsewhere.`

// preview prints what a policy would change before it is put to use, and asks for confirmation where it is dangerous.
// Without permission to read the submissions it prints a note and goes on: the preview is a help and no check.
func (a *app) preview(ctx context.Context, f *previewFlags, operation string, p verify.Policy) error {
	a.noteCluster(ctx)
	warnNarrower(ctx, a, p)
	why := p.Dangers()
	if !f.none {
		t := trial.New(p)
		switch err := tryNewest(ctx, a, t, f.records); {
		case ctx.Err() != nil:
			return ctx.Err()
		case mayNotRead(err):
			a.notef("What would change is not known: these credentials may not read the submissions. It takes " +
				"the role auditor or more.")
		case err != nil:
			a.notef("What would change is not known: %v", err)
		default:
			a.notef("%s", t.Summary())
			if t.Admitted.All > 0 {
				why = append(why, fmt.Sprintf("%d of the last %d submissions that were refused would be accepted%s",
					t.Admitted.All, t.Tried(), t.Admitted))
			}
		}
	}
	return meant(a, f, operation, fmt.Sprintf("%x", p.ID())[:shownDigits], why)
}

// previewPublished is preview for a published policy, given by its id or the first digits of it. It returns the
// whole id.
func (a *app) previewPublished(ctx context.Context, f *previewFlags, operation, given string) (id string,
	err error) {
	a.noteCluster(ctx)
	p, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
		return findPolicy(ctx, c, given)
	})
	if err != nil {
		return "", err
	}
	policy, err := trial.PolicyOf(p)
	if err != nil {
		return "", err
	}
	return p.ID, a.preview(ctx, f, operation, policy)
}

// warnPublished names the dangers of a published policy before it is put to use.
func (a *app) warnPublished(ctx context.Context, p *wire.PolicyAnswer) error {
	policy, err := trial.PolicyOf(p)
	if err == nil {
		warnNarrower(ctx, a, policy)
	}
	return err
}

// warnDangers names what a person must mean who wants a policy.
func warnDangers(a *app, p verify.Policy) {
	for _, danger := range p.Dangers() {
		a.notef("Warning: %s.", danger)
	}
}

// warnNarrower lists what the policy in force accepts and a new one does not: profiles, schemes, algorithms,
// versions, late epochs.
func warnNarrower(ctx context.Context, a *app, p verify.Policy) {
	warnDangers(a, p)
	current, err := call(ctx, a, policyInForce)
	if err != nil {
		a.notef("Which policy is in force could not be read: %v", err)
		return
	}
	for _, looser := range p.Looser(current) {
		a.notef("Warning: against the policy in force, %s.", looser)
	}
	for _, note := range narrower(current, p) {
		a.notef("Note: the policy in force accepts %s", note)
	}
}

// shownDigits is the number of digits of an id that a person has to type.
const shownDigits = 16

// meant lets an operation go on when there is no reason to ask, with --yes, or when somebody on a terminal has typed
// the name.
func meant(a *app, f *previewFlags, operation, name string, why []string) error {
	if len(why) == 0 || f.yes {
		return nil
	}
	what := strings.Join(why, "; ")
	if !a.typed() {
		return &codedError{exitUsage,
			fmt.Errorf("%s %s: %s; nobody is at a terminal to confirm it, and nothing was done", operation, name,
				what), "Give --yes if it is meant."}
	}
	where := a.markedPrompt()
	fmt.Fprintf(a.err, "%s%s %s: %s.\n%sType %s to go on: ", where, operation, name, visible(what), where, name)
	return a.typeName(name)
}
