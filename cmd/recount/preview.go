package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/verify"
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
	case f.records < 1 || f.records > maxTried:
		return usagef("--preview must be in 1..%d; --no-preview leaves it out", maxTried)
	}
	return nil
}

// previewHelp explains the preview in the help of all such commands.
const previewHelp = `Before it acts it judges the newest 10000 submissions under the policy, each by itself, and prints how many would change
(--preview, --no-preview). If refused records would be accepted, or "recount policy lint" warns of the policy, it asks you to type the
id of the policy on a terminal, and needs --yes elsewhere.`

// preview says what a policy would change before it is put to use, and asks whether what must be meant is
// meant. Who may not read the submissions is told so and goes on: the question is a help and no permission.
func (a *app) preview(ctx context.Context, f *previewFlags, operation string, p verify.Policy) error {
	a.sayCluster(ctx)
	a.warnNarrower(ctx, p)
	why := p.Dangers()
	if !f.none {
		t := &trial{a: a, policy: p, counts: map[string]int{}}
		switch err := t.newest(ctx, f.records); {
		case ctx.Err() != nil:
			return ctx.Err()
		case mayNotRead(err):
			a.talk("What would change is not known: these credentials may not read the submissions. It takes " +
				"the role auditor or more.")
		case err != nil:
			a.talk("What would change is not known: %v", err)
		default:
			a.talk("%s", t.summary())
			if t.letIn.all > 0 {
				why = append(why,
					fmt.Sprintf("%d of the last %d submissions that were refused would be accepted%s", t.letIn.all,
						t.tried(), t.letIn.text()))
			}
		}
	}
	return a.meant(f, operation, fmt.Sprintf("%x", p.ID())[:shownDigits], why)
}

// shownDigits is the number of digits of an id that a person has to type.
const shownDigits = 16

// meant lets an operation go on when there is nothing to mean, with --yes, or when somebody on a terminal has
// typed the name.
func (a *app) meant(f *previewFlags, operation, name string, why []string) error {
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

// tried returns the number of submissions that a trial has looked at.
func (t *trial) tried() int { return t.total + t.counts[leftOut] }

// summary says in one sentence what a trial of the newest submissions has found.
func (t *trial) summary() string {
	changed, parts := 0, []string{}
	for _, change := range slices.Sorted(maps.Keys(t.counts)) {
		if change == leftOut {
			continue
		}
		n := t.counts[change]
		changed += n
		part := fmt.Sprintf("%s %d", change, n)
		if change == "refused->accepted" {
			part += t.letIn.text()
		}
		parts = append(parts, part)
	}
	text := fmt.Sprintf("Of the last %s none would change", plural(t.tried(), "submission"))
	switch {
	case t.tried() == 0:
		return "The ledger holds no submission yet on which the policy could be tried."
	case changed > 0:
		text = fmt.Sprintf("Of the last %s %d would change: %s", plural(t.tried(), "submission"), changed,
			strings.Join(parts, ", "))
	}
	if n := t.counts[leftOut]; n > 0 {
		text += fmt.Sprintf("; keys or freezes decided %d", n)
	}
	return text + "."
}

// text says who vouches for records that are accepted, and returns "" when keys do for all.
func (l letIn) text() string {
	var parts []string
	if l.unsigned > 0 {
		parts = append(parts, fmt.Sprintf("%d unsigned", l.unsigned))
	}
	if l.unverified > 0 {
		parts = append(parts, fmt.Sprintf("%d with a signature that no key verifies", l.unverified))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
