package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

func (a policyCommands) publishCommand() *cobra.Command {
	var f opFlags
	var try previewFlags
	cmd := &cobra.Command{
		Use:         "publish FILE",
		Short:       "Publish a policy in the log, without effect on answers yet",
		Args:        exactArgs("FILE"),
		Long:        policyHelp + "\n\n" + previewHelp,
		Annotations: exportsVars("POLICY"),
		Example: `  recount policy publish fix.yaml --reason "unsigned records were accepted" --ticket INC-7
  eval "$(recount policy publish fix.yaml -o env)" && recount generation start --policy "$POLICY" --wait --diff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := try.check(cmd); err != nil {
				return err
			}
			document, err := os.ReadFile(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			parsed, err := publish.Parse(document)
			if err != nil {
				return unusable(err, "Nothing was published. Fix the places named above.")
			}
			if err := a.preview(cmd.Context(), &try, "policy publish", parsed); err != nil {
				return err
			}
			p, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
					return c.PublishPolicy(ctx, wire.PolicyRequest{Document: string(document), Op: a.op(&f)})
				})
			if err != nil {
				return err
			}
			return errors.Join(a.showPolicy(p), a.setVars("POLICY", p.ID))
		},
	}
	f.add(cmd)
	try.add(cmd)
	return cmd
}

// narrower lists what a policy accepts and the next one does not, each with what follows.
func narrower(current, p verify.Policy) (notes []string) {
	signed := func(what string) {
		notes = append(notes, what+", this one does not; records signed with it would be refused.")
	}
	for _, f := range current.Signature.Profiles.Slice() {
		if !p.Signature.Profiles.Has(f) {
			signed("profile " + f.String())
		}
	}
	for _, v := range current.Signature.Schemes.Slice() {
		if !p.Signature.Schemes.Has(v) {
			signed("scheme " + v.String())
		}
	}
	for _, alg := range current.Signature.Algorithms {
		if !slices.Contains(p.Signature.Algorithms, alg) {
			signed(alg.String())
		}
	}
	for _, v := range current.Versions {
		if !slices.Contains(p.Versions, v) {
			notes = append(notes, fmt.Sprintf("records of version %s, this one does not; they would be refused.", v))
		}
	}
	if now, next := current.Epochs.LateWindow, p.Epochs.LateWindow; next < now &&
		p.Epochs.OnRegression != verify.RegressionAllow {
		notes = append(notes,
			fmt.Sprintf("unused epochs that are up to %d late, this one up to %d; later ones would not count.",
				now, next))
	}
	return notes
}

func (a policyCommands) applyCommand() *cobra.Command {
	var f opFlags
	var try previewFlags
	cmd := &cobra.Command{
		Use: "apply ID", Short: "Put a policy in force from now on, without recounting", Args: exactArgs("ID"),
		Long: `apply is a forward-only change: the policy applies to the events after this one, in every generation. Earlier answers stay.
To change them too, build a generation: recount generation start --policy ID. Where nodes have auth.two_person it needs a second
actor, as an activation does: recount approve.

` + previewHelp,
		Example: `  recount policy apply 95ca8b018ff1b3ce --reason "tighter from today"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := try.check(cmd); err != nil {
				return err
			}
			id, err := a.previewPublished(cmd.Context(), &try, "policy apply", args[0])
			if err != nil {
				return err
			}
			r, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ApplyAnswer, error) {
					return c.ApplyPolicy(ctx, id, wire.ApplyRequest{Op: a.op(&f)})
				})
			if err != nil {
				return err
			}
			return showApply(cmd.Context(), a.app, r)
		},
	}
	f.add(cmd)
	try.add(cmd)
	a.waitFlag(cmd)
	return cmd
}
