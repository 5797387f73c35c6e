package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// policyInForce reads the policy that judges new submissions.
func policyInForce(ctx context.Context, c *client.Client) (verify.Policy, error) {
	page, err := c.Policies(ctx)
	if err != nil {
		return verify.Policy{}, err
	}
	for _, item := range page.Items {
		if item.InForce {
			whole, err := c.Policy(ctx, item.ID)
			if err != nil {
				return verify.Policy{}, err
			}
			return trial.PolicyOf(whole)
		}
	}
	return verify.Policy{}, errors.New("the node names none")
}

func (a policyCommands) showPolicy(p *wire.PolicyAnswer) error {
	return a.printFields(p, "id", p.ID, "seq", p.Seq, "at", p.At, "kernel", p.Kernel, "rules", p.Rules, "in force",
		p.InForce, "actor", dash(p.Actor), "role", dash(p.Role), "reason", dash(p.Reason), "ticket", dash(p.Ticket))
}

func (a policyCommands) listCommand() *cobra.Command {
	var read client.Read
	var asOf asOfFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List the published policies", Args: exactArgs(),
		Example: `  recount policy list --dev /tmp/recount
  recount policy list --as-of 58`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asOf.parse(a.app, &read); err != nil {
				return err
			}
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.PoliciesPage, error) {
					return client.PoliciesAsOf(ctx, c, read)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, p wire.PolicyAnswer) {
				t.row(p.ID, p.Seq, p.At, p.Kernel, p.Rules, p.InForce, dash(p.Actor), dash(p.Reason))
			},
				hexID("ID", 1), count("SEQ", 3), moment("AT", 4), count("KERNEL", 8), count("RULES", 7),
				word("IN FORCE", 2), text("ACTOR", 5, 8), text("REASON", 6, 10))
			for _, p := range page.Items {
				if err := l.add(p); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	asOf.add(cmd, false)
	return cmd
}

func (a policyCommands) showCommand() *cobra.Command {
	var canonical bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Print a published policy as a document for lint and publish", Args: exactArgs("ID"),
		Long: `show prints a policy as it was written. Where that text would not give the same policy any more, because a release has other
defaults or the policy came with the ledger and was never written, it prints the policy in full. -o json has both the text and
the canonical form.`,
		Example: `  recount policy show 95ca8b018ff1b3ce > fix.yaml
  recount policy show 95ca8b018ff1b3ce --canonical | sha256sum`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
					return findPolicy(ctx, c, args[0])
				})
			if err != nil {
				return err
			}
			if a.format != formatTable {
				return a.printJSON(p)
			}
			if canonical {
				b, err := json.Marshal(p.Canonical) // sorted members, as in the log
				if err != nil {
					return err
				}
				_, err = a.out.Write(b)
				return err
			}
			text, err := policyText(p)
			if err != nil {
				return err
			}
			if policy, err := trial.PolicyOf(p); err == nil {
				warnDangers(a.app, policy)
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&canonical, "canonical", false, "print the canonical form, whose SHA-256 is the id")
	return cmd
}

// policyText is the text of a policy as it was written, if it still is that policy, and else the policy in full.
func policyText(p *wire.PolicyAnswer) (string, error) {
	policy, err := trial.PolicyOf(p)
	if err != nil {
		return "", err
	}
	if written, err := publish.Parse([]byte(p.Source)); err == nil && written.ID() == policy.ID() {
		return p.Source, nil
	}
	return string(publish.Document(policy)), nil
}

func (a policyCommands) newCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "new", Short: "Print a policy to edit: a copy of the one in force, with comments", Args: exactArgs(),
		Long: `new prints a policy in full, with a comment on each part. Change only what must change:
a copy keeps all profiles, schemes and rules that apply today. It writes nothing to the ledger.`,
		Example: `  recount policy new > fix.yaml                          # of the one in force
  recount policy new --from 95ca8b018ff1b3ce > fix.yaml
  recount policy lint fix.yaml && recount policy publish fix.yaml --ticket INC-7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format != formatTable {
				return usagef("policy new prints a document in YAML; \"recount policy show ID -o json\" prints JSON")
			}
			var p verify.Policy
			var err error
			if from == "" {
				p, err = call(cmd.Context(), a.app, policyInForce)
			} else {
				p, err = a.anyPolicy(cmd.Context(), from)
			}
			if err != nil {
				return err
			}
			title := fmt.Sprintf("A copy of policy %x. Edit it, then: recount policy lint, test, publish.", p.ID())
			_, err = a.out.Write(publish.Copy(p, title))
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "id of a published policy, or a file (default: the policy in force)")
	return cmd
}

func (a policyCommands) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B", Short: "Show how two policies differ, each a file or an id", Args: exactArgs("A", "B"),
		Example: `  recount policy diff 95ca8b01 fix.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var docs [2][]string
			for i, arg := range args {
				p, err := a.anyPolicy(cmd.Context(), arg)
				if err != nil {
					return err
				}
				docs[i] = strings.Split(string(publish.Document(p)), "\n")
			}
			l := newList(a.app, func(t *table, d diffLine) { t.row(d.Side, d.Line) }, word("", 1),
				text("LINE", 2, 20)).because("the two policies are the same")
			for i, side := range []string{"-", "+"} {
				for _, line := range docs[i] {
					if !slices.Contains(docs[1-i], line) {
						if err := l.add(diffLine{side, line}); err != nil {
							return err
						}
					}
				}
			}
			return l.end()
		},
	}
}

// diffLine is a line that only one of two documents has.
type diffLine struct {
	Side string `json:"side"` // - the first, + the second
	Line string `json:"line"`
}

// anyPolicy reads a policy from a file, or from the ledger by its id.
func (a policyCommands) anyPolicy(ctx context.Context, arg string) (verify.Policy, error) {
	if exists(arg) {
		p, err := readPolicy(arg)
		if err != nil {
			return p, unusable(fmt.Errorf("%s: %w", arg, err), "")
		}
		return p, nil
	}
	if !isHex(arg) {
		return verify.Policy{},
			usagef("%q is no file, and no id of a policy: that has 64 hex digits, of which at least "+
				"the first %d must be given", arg, leastDigits)
	}
	p, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
		return findPolicy(ctx, c, arg)
	})
	if err != nil {
		return verify.Policy{}, err
	}
	return trial.PolicyOf(p)
}
