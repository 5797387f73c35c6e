package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

const generationHelp = `A generation is one complete fold of the log under one schedule of policies. One is active. Another one can be built beside
it, compared with it, and activated at one position of the log on every node. In an incident:

  recount policy publish fix.yaml --ticket INC-7         publishes a policy, changes no answer yet
  recount generation start --policy ID --ticket INC-7 --wait --diff
                                                         folds all history under it, then shows the diff
  recount generation activate N --diff DIGEST            switches every node; start printed this line
  recount generation rollback                            goes back, if it was wrong

Without --wait and --diff, start returns at once. Then: status N --wait, diff N. --latest stands for N.

Only activate, rollback and "policy apply" change answers.`

// generationCommands implements recount generation.
type generationCommands struct{ *app }

func (a generationCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "generation",
		Aliases: []string{"gen"},
		Short:   "Recount history: build, compare, activate and roll back generations",
		Long:    generationHelp,
		Args:    exactArgs(),
		Example: "  recount generation list\n  recount generation status 2 --wait",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.startCommand(), a.listCommand(), a.statusCommand(),
		a.diffCommand(), a.activateCommand(), a.rollbackCommand(),
		a.dropCommand())
	return cmd
}

func parseGeneration(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0,
			usagef("generation %q: must be a whole number, at least 1; \"recount generation list\" lists them", text)
	}
	return uint32(n), nil
}

func (a generationCommands) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List all generations",
		Args:    exactArgs(),
		Example: `  recount generation list --dev /tmp/recount`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := call(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.GenerationsPage, error) {
					return c.Generations(ctx)
				})
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, g wire.GenerationAnswer) {
				t.row(g.Generation, g.State, dash(g.Policy), g.Keys, g.StartedSeq, dash(join(g.Activated)),
					dash(g.Actor), dash(g.Reason))
			}, count("GENERATION", 1), word("STATE", 2), hexID("POLICY", 3), word("KEYS", 6), count("STARTED", 7),
				text("ACTIVATED", 4, 9), text("ACTOR", 5, 8), text("REASON", 8, 10))
			for _, g := range page.Items {
				if err := l.add(g); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
}

// diffFlags has the flags of generation diff.
type diffFlags struct {
	position         uint64
	by, export, only string
	force, list      bool
}

func (a generationCommands) diffCommand() *cobra.Command {
	var which generationArg
	var f diffFlags
	cmd := &cobra.Command{
		Use: "diff N|--latest", Short: "Show how a generation differs from the active one", Args: which.args,
		Annotations: exportsVars(reviewVars...),
		Long: `diff compares outcomes and accepted flags of all submissions. A flip is direct when the record's own verdict changed, and
indirect when another submission's change caused it: an id that becomes free, an epoch that is no longer too old. The
digest identifies the diff, and activate needs it. The command to activate goes to stderr. With -o env the numbers go to stderr
and stdout gets a line that sets GEN, POSITION and DIGEST: eval "$(recount generation diff --latest -o env)".

Of a generation that is active, or was and is dropped, diff shows what its last activation changed, with --list too. That is kept
permanently.`,
		Example: `  recount generation diff 2
  recount generation diff --latest
  recount generation diff 2 --by shard
  recount generation diff 2 --list -o ndjson
  eval "$(recount generation diff 2 -o env)" && recount generation activate "$GEN" --diff "$DIGEST" --reason "read by A and B"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.number(cmd.Context(), &which, args)
			if err != nil {
				return err
			}
			return a.diff(cmd.Context(), n, &f)
		},
	}
	which.add(cmd)
	f.add(cmd)
	return cmd
}

func (f *diffFlags) add(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&f.position, "position", 0,
		"compare up to this event (default: as far as the node has compared)")
	cmd.Flags().StringVar(&f.by, "by", "outcome", "how to break the flips down: outcome, reason, shard or key")
	cli.Closed(cmd, "by", "outcome", "reason", "shard", "key")
	cmd.Flags().BoolVar(&f.list, "list", false, "list the flips")
	cmd.Flags().StringVar(&f.only, "print", "", "print this alone, for a script: digest or flips")
	cli.Closed(cmd, "print", "digest", "flips")
	cmd.Flags().StringVar(&f.export, "export", "", "write the flips to this new file, one JSON object per line")
	cmd.Flags().BoolVar(&f.force, "force", false, "with --export: replace the file")
}

// diff shows the differences of generation n in the form that the flags name.
func (a generationCommands) diff(ctx context.Context, n uint32, f *diffFlags) error {
	d, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.DiffAnswer, error) {
		return c.Diff(ctx, n, f.position)
	})
	if err != nil {
		return err
	}
	switch {
	case f.only == "digest":
		_, err = fmt.Fprintln(a.out, d.Digest)
		return err
	case f.only == "flips":
		_, err = fmt.Fprintln(a.out, d.Flips)
		return err
	case f.export != "":
		return a.exportFlips(ctx, d, f.export, f.force)
	case f.list:
		return a.listFlips(ctx, d)
	case d.ActivatedSeq != 0 && a.vars != nil:
		return usagef("-o env: generation %d was activated by event %d, so there is nothing to activate", n,
			d.ActivatedSeq)
	case a.format != formatTable:
		return a.printJSON(d)
	case d.ActivatedSeq != 0:
		a.notef("Generation %d was activated. This is what event %d changed.", n, d.ActivatedSeq)
		return a.diffTable(d, f.by)
	}
	return a.showReview(ctx, d, f.by)
}

func (a generationCommands) listFlips(ctx context.Context, d *wire.DiffAnswer) error {
	l := newList(a.app, func(t *table, f wire.Flip) {
		t.row(f.Seq, f.Cause, number(&f.CausedBySeq), outcomeText(f.Old), outcomeText(f.New), f.New.ReasonCode,
			dash(f.ShardID),
			f.Epoch, dash(f.PCSID), dash(f.KeyID))
	}, count("SEQ", 1), word("CAUSE", 6), count("CAUSED_BY", 8), word("OLD", 2), word("NEW", 3),
		text("REASON", 5, 10), text("SHARD", 7, 8), count("EPOCH", 10), hexID("PCS_ID", 4),
		keyID("KEY", 9)).because("this generation gives the same answers as the active one")
	if err := a.eachFlip(ctx, d, l.add); err != nil {
		return errors.Join(l.cut(), err)
	}
	return l.end()
}

// outcomeText is an outcome for people, with a remark on an escalated one that does not count.
func outcomeText(s wire.FlipSide) string {
	if s.Outcome == wire.OutcomeEscalated && !s.Accepted {
		return "escalated, not accepted"
	}
	return s.Outcome
}

// exportFlips writes the flips to a new file: one that is there may be what an earlier review was about.
func (a generationCommands) exportFlips(ctx context.Context, d *wire.DiffAnswer, path string, force bool) error {
	how := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, how, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &codedError{exitUsage, fmt.Errorf("--export: %s is there already; nothing was written", path),
			"Choose another name, or --force to replace it."}
	case err != nil:
		return usagef("--export: %w", err)
	}
	to := &app{out: f, format: formatNDJSON}
	count := 0
	err = a.eachFlip(ctx, d, func(flip wire.Flip) error { count++; return to.printJSON(flip) })
	if err = errors.Join(err, f.Close()); err == nil {
		a.notef("%d flips written to %s", count, path)
	}
	return err
}

func (a generationCommands) activateCommand() *cobra.Command {
	var f opFlags
	var which generationArg
	var diff string
	var most int64
	var force bool
	cmd := &cobra.Command{
		Use:   "activate N|--latest --diff DIGEST",
		Short: "Switch every node to a generation at one position of the log",
		Args:  which.args,
		Long: `activate needs the digest of the reviewed diff. The node asks every voter for its digest of the same comparison. A
majority must report the same, and none a different one. Submissions that have flipped since the review are switched too and are
counted as "after review"; --max-new-flips bounds them exactly: submissions wait while the leader counts. An activation while a
reporting node, or the review, is more than 4096 events behind the end of the log is refused unless --force is given, because then no
node serves until it has folded the rest.`,
		Example: `  recount generation activate 2 --diff 0000000000015e8a24f0... --reason "reviewed by two" --ticket INC-7
  recount generation activate --latest --diff "$DIGEST" --max-new-flips 0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if diff == "" {
				return usagef("--diff is missing: review \"recount generation diff %s\" and give its digest",
					strings.Join(append(args, which.flag()...), " "))
			}
			n, err := a.number(cmd.Context(), &which, args)
			if err != nil {
				return err
			}
			r := wire.ActivateRequest{Op: a.op(&f), Diff: diff, Force: force}
			if most >= 0 {
				bound := uint64(most)
				r.MaxNewFlips = &bound
			}
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ActivateAnswer, error) {
					return c.Activate(ctx, n, r)
				})
			if err != nil {
				return err
			}
			return showActivation(cmd.Context(), a.app, got)
		},
	}
	cmd.Flags().StringVar(&diff, "diff", "", "digest of the diff that was reviewed")
	cmd.Flags().Int64Var(&most, "max-new-flips", -1,
		"refuse when more submissions have flipped since the review (-1: no bound)")
	cmd.Flags().BoolVar(&force, "force", false,
		"activate although nodes or the review are far behind the end of the log")
	f.add(cmd)
	which.add(cmd)
	a.waitFlag(cmd)
	return cmd
}

func (a generationCommands) rollbackCommand() *cobra.Command {
	var f opFlags
	cmd := &cobra.Command{
		Use: "rollback", Short: "Activate the previous generation again", Args: exactArgs(),
		Long: `rollback compares the previous generation with the active one up to the end of the log and activates it, as activate
does. The history of every record keeps the answers of the meantime. A second rollback undoes the first one: after a command without an
answer, repeat it with the --op-id that it prints.`,
		Example: `  recount generation rollback --reason "the fix was wrong" --ticket INC-7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.ActivateAnswer, error) {
					return c.Rollback(ctx, wire.RollbackRequest{Op: a.op(&f)})
				})
			if err != nil {
				return err
			}
			return showActivation(cmd.Context(), a.app, got)
		},
	}
	f.add(cmd)
	a.waitFlag(cmd)
	return cmd
}

func (a generationCommands) dropCommand() *cobra.Command {
	var f confirmFlags
	var which generationArg
	cmd := &cobra.Command{
		Use: "drop N|--latest", Short: "Delete an inactive generation and free its disk space", Args: which.args,
		Example: `  recount generation drop 2
  recount generation drop 2 --yes          # where nobody can type an answer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.number(cmd.Context(), &which, args)
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), &f, "generation drop", generationHits(n)); err != nil {
				return err
			}
			got, err := callOperation(cmd.Context(), a.app,
				func(ctx context.Context, c *client.Client) (*wire.DropAnswer, error) {
					return c.DropGeneration(ctx, n, a.op(&f.opFlags))
				})
			if err != nil {
				return err
			}
			return a.printFields(got, "generation", got.Generation, "dropped at seq", got.Seq)
		},
	}
	f.add(cmd)
	which.add(cmd)
	return cmd
}
