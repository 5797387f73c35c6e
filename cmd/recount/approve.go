package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

const approveHelp = `Where nodes have auth.two_person, an activation, a rollback, a thaw and "policy apply" need two actors. The first
actor makes the request: the command ends with exit code 4 and prints an op_id. The second actor reviews it ("recount approve list"
shows how) and approves it within an hour of log time. --run carries the operation out, exactly as it is in the log: with the digest,
the limit and the reason of the request. Nobody has to repeat the command, and the request stays valid while the diff grows.
With --wait-approval the first command waits for the approval instead.
An actor who created the other's token, directly or through other tokens, cannot approve.`

// approveCommands implements the second half of the two-person rule.
type approveCommands struct{ *app }

func (a approveCommands) command() *cobra.Command {
	var f opFlags
	var carry bool
	var only approveOnly
	cmd := &cobra.Command{
		Use:   "approve OP_ID",
		Short: "Approve a pending operation (two-person rule)",
		Args:  exactArgs("OP_ID"),
		Long:  approveHelp,
		Example: `  recount generation activate 2 --diff DIGEST --op-id fix-7 --ticket INC-7     # alice: asks
  recount approve list                                                         # bob: lists pending requests
  recount approve show fix-7                                                   # bob: reads the request, and how to review it
  recount approve fix-7 --reason "diff reviewed" --ticket INC-7 --run          # bob: approves and carries out
  recount approve fix-7 --run                                                  # or alice, after an approval without --run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ApprovalAnswer, error) {
					id, err := findApproval(ctx, c, args[0])
					if err == nil {
						err = only.check(ctx, c, id)
					}
					if err != nil {
						return nil, err
					}
					return c.Approve(ctx, wire.ApprovalRequest{Approve: id, Run: carry, Op: a.op(&f)})
				})
			// a.opID names this approval, not what was asked for
			if p := (*wire.Problem)(nil); errors.As(err, &p) && p.Code == wire.CodeApprovalNeeded {
				a.opID = args[0]
			}
			if err != nil {
				return err
			}
			return a.showApproved(cmd.Context(), got)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&carry, "run", false, "also carry it out, exactly as it is in the log")
	only.add(cmd)
	cmd.AddCommand(a.listCommand(), a.showCommand())
	return cmd
}

// approveOnly bounds what approve approves. The actor who asks chooses the op_id, so a request that is named
// like a thaw may in truth accept unsigned records.
type approveOnly struct{ name, diff string }

func (o *approveOnly) add(cmd *cobra.Command) {
	operations := []string{wire.OperationActivate, wire.OperationApply, wire.OperationRollback, wire.OperationThaw}
	cmd.Flags().StringVar(&o.name, "only", "", "approve only this: "+strings.Join(operations, ", "))
	cmd.Flags().StringVar(&o.diff, "diff", "", "approve only an activation with this digest, which you reviewed")
	cli.Closed(cmd, "only", operations...)
}

// check refuses a request that does something else. Of one that is not there the node knows more.
func (o *approveOnly) check(ctx context.Context, c *client.Client, opID string) error {
	if o.name == "" && o.diff == "" {
		return nil
	}
	page, err := c.ApprovalsAll(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(page.Items, func(x wire.ApprovalAnswer) bool { return x.OpID == opID }); i >= 0 {
		return o.admits(&page.Items[i])
	}
	return nil
}

func (o *approveOnly) admits(x *wire.ApprovalAnswer) error {
	if o.name != "" && x.Name != o.name || o.diff != "" && (x.Operation == nil || x.Name != wire.OperationActivate) {
		return &codedError{exitRejected,
			fmt.Errorf("%s asks for something else: %s; nothing was approved", x.OpID, inWords(x)),
			fmt.Sprintf("\"recount approve show %s\" shows it. If it is meant, leave --only and --diff out.",
				shellWord(x.OpID))}
	}
	if o.diff != "" && x.Operation.Diff != o.diff {
		return &codedError{exitRejected,
			fmt.Errorf("%s asks for another diff than --diff: %s; nothing was approved", x.OpID, x.Operation.Diff),
			fmt.Sprintf("Read \"%s\".", howToLook(x))}
	}
	return nil
}

// showApproved prints what was approved, and with a result what came of it.
func (a approveCommands) showApproved(ctx context.Context, got *wire.ApprovalAnswer) error {
	if len(got.Result) == 0 {
		a.notef("Approved. Carry it out before %s: %s", got.ExpiresAt,
			a.commandLine("recount approve "+shellWord(got.OpID)+" --run"))
	}
	err := a.printFields(got, "op_id", got.OpID, "operation", inWords(got), "state", got.State, "yes from",
		strings.Join(got.Actors, " "), "until", got.ExpiresAt)
	if err != nil || len(got.Result) == 0 || a.format != formatTable {
		return err
	}
	fmt.Fprintln(a.out)
	return a.showResult(ctx, got)
}

// showResult prints the result as the command that asked for it does.
func (a approveCommands) showResult(ctx context.Context, got *wire.ApprovalAnswer) error {
	switch got.Name {
	case wire.OperationActivate, wire.OperationRollback:
		return decoded(got.Result, func(r *wire.ActivateAnswer) error {
			return showActivation(ctx, a.app, r)
		})
	case wire.OperationThaw:
		return decoded(got.Result, func(r *wire.FreezeAnswer) error {
			return showFreeze(ctx, a.app, r, true)
		})
	case wire.OperationApply:
		return decoded(got.Result, func(r *wire.ApplyAnswer) error {
			return showApply(ctx, a.app, r)
		})
	}
	return a.printJSON(got.Result)
}

func decoded[T any](text json.RawMessage, show func(*T) error) error {
	v := new(T)
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", client.ErrProtocol, err)
	}
	return show(v)
}

func (a approveCommands) listCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List pending operations, and how to review them", Args: exactArgs(),
		Long: `list shows the requests that wait for a second actor: their effect, who asked, how long ago, and the command to
review each. With --all it also lists approved and finished requests, and shows their state.`,
		Example: "  recount approve list\n  recount approve list --all\n  recount approve list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ApprovalsPage, error) {
					return c.ApprovalsAll(ctx)
				})
			if err != nil {
				return err
			}
			now := time.Now()
			l := newList(a.app, func(t *table, x wire.ApprovalAnswer) {
				t.row(x.OpID, dash(x.State), inWords(&x), strings.Join(x.Actors, " "), age(x.AskedAt, now),
					dash(howToLook(&x)), dash(x.Reason), dash(x.Ticket))
			}, keyID("OP_ID", 1), word("STATE", 4), text("OPERATION", 2, 24), text("YES FROM", 3, 8),
				word("ASKED", 6), text("LOOK WITH", 5, 20), text("REASON", 7, 10),
				text("TICKET", 8, 8)).
				because("nothing waits for a second actor; --all also lists what is approved or done")
			for _, item := range page.Items {
				// a node of an older release gives no state
				if !all && item.State != "" && item.State != wire.ApprovalAsked {
					continue
				}
				if err := l.add(item); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also approved and finished requests")
	return cmd
}

func (a approveCommands) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show OP_ID", Short: "Show one request, and how to review it", Args: exactArgs("OP_ID"),
		Annotations: exportsVars(append([]string{"OP_ID"}, reviewVars...)...),
		Long: `show prints a pending or approved request: who asked for what, why, and the command to review it.
With -o env it sets OP_ID, and for an activation the GEN, POSITION and DIGEST of the request.`,
		Example: `  recount approve show fix-7
  eval "$(recount approve show fix-7 -o env)" && recount generation diff "$GEN" --position "$POSITION"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ApprovalAnswer, error) {
					page, err := c.ApprovalsAll(ctx)
					if err != nil {
						return nil, err
					}
					all := make([]string, len(page.Items))
					for i, x := range page.Items {
						all[i] = x.OpID
					}
					id, err := chosenRequest(args[0], "recount approve list --all", all)
					if err != nil {
						return nil, err
					}
					return &page.Items[slices.Index(all, id)], nil
				})
			if err != nil {
				return err
			}
			a.warnRequest(cmd.Context(), x.Operation)
			return a.showRequest(x)
		},
	}
}

// warnRequest names the dangers of the policy that is asked for: the second actor may not have seen what the
// first one was told.
func (a approveCommands) warnRequest(ctx context.Context, o *wire.PendingOperation) {
	if o == nil || o.Name != wire.OperationApply && o.Name != wire.OperationActivate {
		return
	}
	p, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
		id := o.Policy
		if o.Name == wire.OperationActivate {
			g, err := c.Generation(ctx, o.Generation)
			if err != nil {
				return nil, err
			}
			id = g.Policy
		}
		return c.Policy(ctx, id)
	})
	if err == nil {
		err = a.warnPublished(ctx, p)
	}
	if err != nil {
		a.notef("The preview of the policy could not be read: %v", err)
	}
}

func (a approveCommands) showRequest(x *wire.ApprovalAnswer) error {
	err := a.printFields(x, "op_id", x.OpID, "operation", inWords(x), "state", dash(x.State), "yes from",
		strings.Join(x.Actors, " "), "asked at", dash(x.AskedAt), "until", x.ExpiresAt, "look with",
		dash(howToLook(x)), "reason", dash(x.Reason), "ticket", dash(x.Ticket))
	if err != nil || a.vars == nil {
		return err
	}
	if o := x.Operation; o != nil && o.Name == wire.OperationActivate {
		return a.setVars("OP_ID", x.OpID, "GEN", fmt.Sprint(o.Generation), "POSITION", fmt.Sprint(o.Position()),
			"DIGEST", o.Diff)
	}
	return a.setVars("OP_ID", x.OpID, "GEN", "", "POSITION", "", "DIGEST", "")
}

// inWords describes the operation without the digits that nobody compares by eye.
func inWords(x *wire.ApprovalAnswer) string {
	o := x.Operation
	switch {
	case o == nil:
		return x.Request
	case o.Name == wire.OperationActivate:
		words := fmt.Sprintf("activate generation %d as reviewed up to event %d", o.Generation, o.Position())
		if o.MaxNewFlips != nil {
			words += fmt.Sprintf(", unless more than %d flips are new", *o.MaxNewFlips)
		}
		if o.Force {
			words += ", even if far behind"
		}
		return words
	case o.Name == wire.OperationApply:
		return fmt.Sprintf("apply policy %.16s to new submissions", o.Policy)
	}
	return x.Request
}

// howToLook returns the command that shows what a second actor is asked to approve.
func howToLook(x *wire.ApprovalAnswer) string {
	o := x.Operation
	switch {
	case o == nil:
		return ""
	case o.Name == wire.OperationActivate:
		return fmt.Sprintf("recount generation diff %d --position %d", o.Generation, o.Position())
	case o.Name == wire.OperationApply:
		return fmt.Sprintf("recount policy show %.16s", o.Policy)
	case o.Name == wire.OperationThaw:
		return "recount freeze list"
	}
	return "recount generation list"
}

// age returns the time since something happened, in words that fit a table.
func age(at string, now time.Time) string {
	t, err := wire.ParseTime(at)
	if err != nil {
		return "-"
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d > 2*time.Hour: // it has expired
		return "long ago"
	}
	return fmt.Sprintf("%dm ago", int(d.Minutes()))
}

// approvalEvery is the pause between two looks at a request that waits for a second actor.
const approvalEvery = time.Second

// approved turns the refusal of a request that needs a second actor into its answer, once there is one: it
// waits for the approval and has the request carried out as it is in the log.
func approved[T any](ctx context.Context, a *app, refused error) (v T, err error) {
	var p *wire.Problem
	if !a.waitApproval || !errors.As(refused, &p) || p.Code != wire.CodeApprovalNeeded {
		return v, refused
	}
	a.notef("Asked for. Another actor looks with \"recount approve list\" and says \"recount approve %s\"; "+
		"this command waits.", shellWord(a.opID))
	for {
		x, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.ApprovalAnswer, error) {
			return requestOf(ctx, c, a.opID)
		})
		if err != nil {
			return v, err
		}
		if x.State != wire.ApprovalAsked {
			break
		}
		if err := pause.For(ctx, approvalEvery); err != nil {
			return v, &codedError{exitRejected, errors.New("nobody approved the request while this command waited"),
				"The request stands until " + x.ExpiresAt + ": recount approve " + shellWord(a.opID) + ", then " +
					a.commandLine("recount approve "+shellWord(a.opID)+" --run") + "."}
		}
	}
	got, err := call(ctx, a, func(ctx context.Context, c *client.Client) (*wire.ApprovalAnswer, error) {
		return c.Approve(ctx, wire.ApprovalRequest{Approve: a.opID, Run: true})
	})
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(got.Result, &v); err != nil {
		return v, fmt.Errorf("%w: %w", client.ErrProtocol, err)
	}
	return v, nil
}

// requestOf finds what was asked for under an op_id, as far as it still counts.
func requestOf(ctx context.Context, c *client.Client, opID string) (*wire.ApprovalAnswer, error) {
	page, err := c.ApprovalsAll(ctx)
	if err != nil {
		return nil, err
	}
	for i := range page.Items {
		if page.Items[i].OpID == opID {
			return &page.Items[i], nil
		}
	}
	return nil, &codedError{exitRejected,
		fmt.Errorf("the request %s has expired: nobody approved it within an hour", opID),
		"Ask again with the same command and another --op-id."}
}
