package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// actFlags are what an operator says about an act.
type actFlags struct{ reason, ticket, opID string }

func (f *actFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; kept in the log")
	cmd.Flags().StringVar(&f.ticket, "ticket", "", "number of the incident; kept in the log")
	cmd.Flags().StringVar(&f.opID, "op-id", "", "name of this act: the same name again is the same act (default: a new one)")
}

// waitFlag is for what may need a second actor.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.waitApproval, "wait-approval", false, "where it needs a second actor: wait for the yes, then carry it out as it was asked for")
}

// act names the act, so that a command that got no answer can be given again as the same act.
func (a *app) act(f *actFlags) wire.Act {
	if f.opID == "" {
		f.opID = rand.Text()
	}
	a.opID = f.opID
	return wire.Act{OpID: f.opID, Reason: f.reason, Ticket: f.ticket}
}

const policyHelp = `A policy is a YAML document: kernel, parameters, accepted signatures, and rules in CEL syntax (docs/policies.md). It is
known by the SHA-256 of its canonical form. Publishing makes it known and changes no answer. To change answers,
  of the past:      recount generation start --policy ID --wait --diff, then activate
  of the future:    recount policy apply ID`

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Check, publish, compare and try policies (verifier patches)", Long: policyHelp, Args: exactly(),
		Example: "  recount policy lint fix.yaml\n  recount policy publish fix.yaml --ticket INC-7",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.policyLintCommand(), a.policyPublishCommand(), a.policyListCommand(), a.policyHistoryCommand(), a.policyShowCommand(), a.policyNewCommand(), a.policyDiffCommand(),
		a.policyApplyCommand(), a.policyTestCommand())
	return cmd
}

func (a *app) policyLintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "Check policy documents without a ledger",
		Example: `  recount policy lint fix.yaml
  recount policy lint testdata/policies/*.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly("FILE")(cmd, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			l := newList(a, lintRows, text("FILE", 1, 16), hexID("ID", 3), text("PROBLEM", 2, 20)).uncounted()
			bad, unread := 0, 0
			for _, path := range args {
				line := lint(path)
				if line.unread {
					unread++
				}
				if len(line.Problems) > 0 {
					bad++
				}
				for _, danger := range line.Dangers {
					a.talk("Warning: %s: %s.", path, danger)
				}
				if err := l.add(line); err != nil {
					return err
				}
			}
			if err := l.end(); err != nil || bad == 0 {
				return err
			}
			if unread > 0 {
				return usagef("%d of %d files cannot be read; check their names", unread, len(args))
			}
			return &codedError{exitRejected, fmt.Errorf("%d of %d documents cannot be used", bad, len(args)), "Nothing was sent anywhere; mend the places named above."}
		},
	}
}

// lintLine is what lint says of one file.
type lintLine struct {
	File     string   `json:"file"`
	ID       string   `json:"id"`
	Problems []string `json:"problems"`
	Dangers  []string `json:"dangers"` // what a person must mean; such a document can be used

	unread bool // there is no document to judge
}

// lintRows prints one row per problem.
func lintRows(t *table, p lintLine) {
	if len(p.Problems) == 0 {
		t.row(p.File, p.ID, "-")
	}
	for _, problem := range p.Problems {
		t.row(p.File, "-", problem)
	}
}

func lint(path string) lintLine {
	line := lintLine{File: path, Problems: []string{}, Dangers: []string{}}
	p, err := readPolicy(path)
	if err != nil {
		line.Problems = strings.Split(err.Error(), "\n")
		line.unread = errors.As(err, new(*fs.PathError))
		return line
	}
	line.ID, line.Dangers = fmt.Sprintf("%x", p.ID()), p.Dangers()
	return line
}

// unusable is the error for a document: wrong usage when it cannot be read, rejected when it is none.
func unusable(err error, next string) error {
	if errors.As(err, new(*fs.PathError)) {
		return usage(err)
	}
	return &codedError{exitRejected, err, next}
}

func readPolicy(path string) (verify.Policy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return verify.Policy{}, usagef("%w", err)
	}
	return publish.Parse(b)
}

func (a *app) policyPublishCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: "publish FILE", Short: "Put a policy into the log; it judges nothing yet", Args: exactly("FILE"), Long: policyHelp,
		Annotations: exportsVars("POLICY"),
		Example: `  recount policy publish fix.yaml --reason "unsigned records were let in" --ticket INC-7
  eval "$(recount policy publish fix.yaml -o env)" && recount generation start --policy "$POLICY" --wait --diff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := os.ReadFile(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			parsed, err := publish.Parse(document)
			if err != nil {
				return unusable(err, "Nothing was published; mend the places named above.")
			}
			p, err := askAct(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
				return c.PublishPolicy(ctx, wire.PolicyRequest{Document: string(document), Act: a.act(&f)})
			})
			if err != nil {
				return err
			}
			a.warnNarrower(cmd.Context(), parsed)
			return errors.Join(a.showPolicy(p), a.setVars("POLICY", p.ID))
		},
	}
	f.add(cmd)
	return cmd
}

// warnDangers names what a person must mean who wants a policy.
func (a *app) warnDangers(p verify.Policy) {
	for _, danger := range p.Dangers() {
		a.talk("Warning: %s.", danger)
	}
}

// warnNarrower says what the policy in force accepts and a new one does not: profiles, schemes, algorithms, versions, late epochs.
func (a *app) warnNarrower(ctx context.Context, p verify.Policy) {
	a.warnDangers(p)
	current, err := ask(ctx, a, policyInForce)
	if err != nil {
		a.talk("Which policy is in force could not be read: %v", err)
		return
	}
	for _, looser := range p.Looser(current) {
		a.talk("Warning: against the policy in force, %s.", looser)
	}
	for _, note := range narrower(current, p) {
		a.talk("Note: the policy in force accepts %s", note)
	}
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
	if now, next := current.Epochs.LateWindow, p.Epochs.LateWindow; next < now && p.Epochs.OnRegression != verify.RegressionAllow {
		notes = append(notes, fmt.Sprintf("unused epochs that are up to %d late, this one up to %d; later ones would not count.", now, next))
	}
	return notes
}

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
			return parseCanonical(whole)
		}
	}
	return verify.Policy{}, errors.New("the node names none")
}

// parseCanonical reads the canonical form in an answer; its members come sorted, as in the log.
func parseCanonical(p *wire.PolicyAnswer) (verify.Policy, error) {
	b, err := json.Marshal(p.Canonical)
	if err != nil {
		return verify.Policy{}, err
	}
	return verify.ParsePolicy(b)
}

func (a *app) showPolicy(p *wire.PolicyAnswer) error {
	return a.show(p, "id", p.ID, "seq", p.Seq, "at", p.At, "kernel", p.Kernel, "rules", p.Rules, "in force", p.InForce, "actor", dash(p.Actor), "role", dash(p.Role),
		"reason", dash(p.Reason), "ticket", dash(p.Ticket))
}

func (a *app) policyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the published policies", Args: exactly(),
		Example: `  recount policy list --dev /tmp/recount`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := ask(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.PoliciesPage, error) { return c.Policies(ctx) })
			if err != nil {
				return err
			}
			l := newList(a, func(t *table, p wire.PolicyAnswer) {
				t.row(p.ID, p.Seq, p.At, p.Kernel, p.Rules, p.InForce, dash(p.Actor), dash(p.Reason))
			},
				hexID("ID", 1), count("SEQ", 3), moment("AT", 4), count("KERNEL", 8), count("RULES", 7), word("IN FORCE", 2), text("ACTOR", 5, 8), text("REASON", 6, 10))
			for _, p := range page.Items {
				if err := l.add(p); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
}

func (a *app) policyShowCommand() *cobra.Command {
	var canonical bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a published policy as a document that lint and publish take", Args: exactly("ID"),
		Long: `show prints a policy as it was written. Where that text would not give the same policy any more, because a release has other
defaults or the policy came with the ledger and was never written, it prints the policy in full. -o json has both the text and
the canonical form.`,
		Example: `  recount policy show 95ca8b018ff1b3ce > fix.yaml
  recount policy show 95ca8b018ff1b3ce --canonical | sha256sum`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := ask(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
				return findPolicy(ctx, c, args[0])
			})
			if err != nil {
				return err
			}
			if a.format != formatTable {
				return a.document(p)
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
			if policy, err := parseCanonical(p); err == nil {
				a.warnDangers(policy)
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
	policy, err := parseCanonical(p)
	if err != nil {
		return "", err
	}
	if written, err := publish.Parse([]byte(p.Source)); err == nil && written.ID() == policy.ID() {
		return p.Source, nil
	}
	return string(publish.Document(policy)), nil
}

func (a *app) policyNewCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "new", Short: "Print a policy to edit: a copy of the one in force, with comments", Args: exactly(),
		Long: `new prints a policy in full, each part with a word about what it does. Change what must change and leave the rest as it is:
a copy takes all profiles, schemes and rules along that records are judged by today. It writes nothing to the ledger.`,
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
				p, err = ask(cmd.Context(), a, policyInForce)
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

func (a *app) policyDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B", Short: "Show where two policies differ; each is a file or an id", Args: exactly("A", "B"),
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
			l := newList(a, func(t *table, d diffLine) { t.row(d.Side, d.Line) }, word("", 1), text("LINE", 2, 20)).because("the two policies are the same")
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
func (a *app) anyPolicy(ctx context.Context, arg string) (verify.Policy, error) {
	if exists(arg) {
		p, err := readPolicy(arg)
		if err != nil {
			return p, unusable(fmt.Errorf("%s: %w", arg, err), "")
		}
		return p, nil
	}
	if !isHex(arg) {
		return verify.Policy{}, usagef("%q is no file, and no id of a policy: that has 64 hex digits, of which at least the first %d must be given", arg, leastDigits)
	}
	p, err := ask(ctx, a, func(ctx context.Context, c *client.Client) (*wire.PolicyAnswer, error) {
		return findPolicy(ctx, c, arg)
	})
	if err != nil {
		return verify.Policy{}, err
	}
	return parseCanonical(p)
}

func (a *app) policyApplyCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: "apply ID", Short: "Put a policy in force from now on, without recounting", Args: exactly("ID"),
		Long: `apply is a forward-only change: the policy judges the events after this one, in every generation. Earlier answers stay.
To change them too, build a generation: recount generation start --policy ID. Where nodes have auth.two_person it needs a second
actor, as an activation does: recount approve.`,
		Example: `  recount policy apply 95ca8b018ff1b3ce --reason "tighter from today"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := askAct(cmd.Context(), a, func(ctx context.Context, c *client.Client) (*wire.ApplyAnswer, error) {
				p, err := findPolicy(ctx, c, args[0])
				if err != nil {
					return nil, err
				}
				if err := a.warnPublished(ctx, p); err != nil {
					return nil, err
				}
				return c.ApplyPolicy(ctx, p.ID, wire.ApplyRequest{Act: a.act(&f)})
			})
			if err != nil {
				return err
			}
			return a.showApply(r)
		},
	}
	f.add(cmd)
	a.waitFlag(cmd)
	return cmd
}

// warnPublished names the dangers of a published policy before it is put to use.
func (a *app) warnPublished(ctx context.Context, p *wire.PolicyAnswer) error {
	policy, err := parseCanonical(p)
	if err == nil {
		a.warnNarrower(ctx, policy)
	}
	return err
}

func (a *app) showApply(r *wire.ApplyAnswer) error {
	return a.show(r, "policy", r.Policy, "judges events after", r.Seq)
}
