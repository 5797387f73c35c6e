package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// memberPause lies between two looks at a member that is waited for.
const memberPause = time.Second

// memberCommands implements the changes of the members, below cluster.
type memberCommands struct{ *app }

func (a memberCommands) commands() []*cobra.Command {
	return []*cobra.Command{
		a.addCommand(), a.promoteCommand(), a.removeCommand(), a.moveCommand(), a.transferCommand(),
		a.replaceCommand(), a.drainCommand(), a.inviteCommand(),
	}
}

// memberFlags say why, and whether to wait.
type memberFlags struct {
	opFlags
	wait time.Duration
}

func (f *memberFlags) check() error { return checkReason(f.reason) }

func checkReason(reason string) error {
	if reason == "" {
		return usagef("--reason is required: whoever operates the cluster later will ask why")
	}
	return nil
}

func (a memberCommands) addCommand() *cobra.Command {
	var f memberFlags
	var peer, api string
	cmd := &cobra.Command{
		Use: "add NODE", Short: "Add a node to the cluster, as a learner", Args: exactArgs("NODE"),
		Long: `add makes a node a learner: it gets every entry, folds them and answers reads, and does not vote. Start
it first with recount-node serve --join. Its node id must be new: an id is used once, also after its
node was removed. "recount cluster promote" makes a voter of it. --wait waits until it answers and has
caught up.`,
		Example: `  recount cluster add n4 --peer 10.0.0.4:9441 --reason "n3 lost its disk"
  recount cluster add n4 --peer 10.0.0.4:9441 --api https://10.0.0.4:9440 --reason "a fourth" --wait 1h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if peer == "" {
				return usagef("--peer is required: host:port at which the other members reach the node")
			}
			if err := f.check(); err != nil {
				return err
			}
			r := wire.MemberRequest{Op: a.op(&f.opFlags), NodeID: args[0], PeerAddress: peer, APIAddress: api}
			err := a.change(cmd.Context(), func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Add(ctx, r)
			})
			if err != nil || f.wait == 0 {
				return err
			}
			return a.awaitCaughtUp(cmd.Context(), args[0], f.wait)
		},
	}
	cmd.Flags().StringVar(&peer, "peer", "", "host:port at which the other members reach it")
	cmd.Flags().StringVar(&api, "api", "", "base URL at which clients reach it; kept in the log")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "wait this long until it has caught up")
	f.add(cmd)
	return cmd
}

func (a memberCommands) promoteCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use: "promote NODE", Short: "Make a voter of a learner", Args: exactArgs("NODE"),
		Long: `promote makes a learner a voter once it has stayed within 1,000 entries of the leader for ten seconds.
Before that it is refused. --wait tries again for that long.`,
		Example: `  recount cluster promote n4 --reason "takes the place of n3" --wait 10m`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			o := a.op(&f.opFlags)
			promote := func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Promote(ctx, args[0], o)
			}
			return a.changeWhen(cmd.Context(), f.wait, promote)
		},
	}
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "try again this long while it has not kept up")
	f.add(cmd)
	return cmd
}

func (a memberCommands) removeCommand() *cobra.Command {
	var f confirmFlags
	cmd := &cobra.Command{
		Use: "remove NODE", Short: "Remove a member permanently", Args: exactArgs("NODE"),
		Long: `remove takes a member out of the cluster, permanently: its node id is never used again. A voter without
which too few voters answer for a majority is not removed. A leader hands over first. The removed node
takes no part any more, keeps its log and says so in its log and in readyz. Stop it. Nothing is deleted.
On a terminal it asks first, in scripts give --yes.`,
		Example: `  recount cluster remove n3 --reason "lost its disk" --ticket OPS-12 --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(f.reason); err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), &f, "cluster remove", memberHits(args[0])); err != nil {
				return err
			}
			o := a.op(&f.opFlags)
			return a.change(cmd.Context(), func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Remove(ctx, args[0], o)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a memberCommands) moveCommand() *cobra.Command {
	var f memberFlags
	var peer string
	cmd := &cobra.Command{
		Use: "move NODE", Short: "Change the peer address of a member", Args: exactArgs("NODE"),
		Long: `move names another peer address of a member. Stop the node, give this command, and start the node with
the new address in its settings. The other members need no new settings.`,
		Example: `  recount cluster move n2 --peer 10.0.0.12:9441 --reason "new rack"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if peer == "" {
				return usagef("--peer is required: the new host:port")
			}
			if err := f.check(); err != nil {
				return err
			}
			r := wire.MemberAddressRequest{Op: a.op(&f.opFlags), PeerAddress: peer}
			return a.change(cmd.Context(), func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Move(ctx, args[0], r)
			})
		},
	}
	cmd.Flags().StringVar(&peer, "peer", "", "the new host:port at which the other members reach it")
	f.add(cmd)
	return cmd
}

func (a memberCommands) transferCommand() *cobra.Command {
	var f memberFlags
	cmd := &cobra.Command{
		Use: "transfer [NODE]", Short: "Make another voter the leader", Args: cobra.MaximumNArgs(1),
		Long: `transfer makes NODE the leader, or without NODE the voter that holds most entries. Submissions wait
meanwhile, usually for less than a second.`,
		Example: `  recount cluster transfer n2 --reason "n1 gets a new kernel"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			r := wire.LeaderRequest{Op: a.op(&f.opFlags)}
			if len(args) == 1 {
				r.NodeID = args[0]
			}
			return a.change(cmd.Context(), func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Transfer(ctx, r)
			})
		},
	}
	f.add(cmd)
	return cmd
}

// memberChange asks a node for a change.
type memberChange func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error)

func (do memberChange) on(ctx context.Context, c *client.Client) (*wire.MemberAnswer, error) {
	return do(ctx, client.MembersOf(c))
}

func (a memberCommands) change(ctx context.Context, do memberChange) error {
	got, err := callOperation(ctx, a.app, do.on)
	if err != nil {
		return err
	}
	return a.show(got)
}

func (a memberCommands) show(got *wire.MemberAnswer) error {
	seq := "nothing changed"
	if got.Seq != 0 {
		seq = number(&got.Seq)
	}
	return a.printFields(got, "node", got.NodeID, "change", got.Change, "seq", seq)
}

// changeWhen makes a change, and again while the node says that it is too early, for some time.
func (a memberCommands) changeWhen(ctx context.Context, wait time.Duration, do memberChange) error {
	end := time.Now().Add(wait)
	for {
		got, err := callOperation(ctx, a.app, do.on)
		var p *wire.Problem
		switch {
		case err == nil:
			return a.show(got)
		case !errors.As(err, &p) || p.Code != wire.CodeStale || p.RetryAfterMS == 0 || time.Now().After(end):
			return err
		}
		a.notef("%s", p.Detail)
		if err := pause.For(ctx, memberPause); err != nil {
			return err
		}
	}
}

// awaitCaughtUp waits until a member answers and has folded what is committed.
func (a memberCommands) awaitCaughtUp(ctx context.Context, id string, wait time.Duration) error {
	end := time.Now().Add(wait)
	for said := ""; ; {
		got, err := call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.ClusterAnswer, error) {
			return c.Cluster(ctx)
		})
		if err != nil {
			return err
		}
		text, done := lagOf(got, id)
		if text != said {
			a.notef("%s", text)
			said = text
		}
		switch {
		case done:
			return nil
		case time.Now().After(end):
			return &codedError{exitUnavailable, fmt.Errorf("%s has not caught up in %s", id, wait),
				"It goes on by itself. See its log, and \"recount cluster status\"."}
		}
		if err := pause.For(ctx, memberPause); err != nil {
			return err
		}
	}
}

// memberHits describes the member that is to be removed.
func memberHits(id string) func(context.Context, *client.Client) (name, hits string, err error) {
	return func(ctx context.Context, c *client.Client) (name, hits string, err error) {
		cluster, err := c.Cluster(ctx)
		if err != nil {
			return "", "", err
		}
		for _, m := range cluster.Members {
			if m.ID == id {
				return id, fmt.Sprintf("%s, %s, of %d members", m.Suffrage, m.State, len(cluster.Members)), nil
			}
		}
		return "", "", &codedError{exitFailed, fmt.Errorf("%s is no member", id),
			"\"recount cluster status\" lists them."}
	}
}

// lagOf describes how far a member is behind the most advanced one.
func lagOf(cluster *wire.ClusterAnswer, id string) (text string, done bool) {
	var head uint64
	var own *wire.Member
	for i, m := range cluster.Members {
		if m.CommittedSeq != nil {
			head = max(head, *m.CommittedSeq)
		}
		if m.ID == id {
			own = &cluster.Members[i]
		}
	}
	switch {
	case own == nil:
		return id + " is no member", false
	case own.AppliedSeq == nil:
		return id + " does not answer yet", false
	case *own.AppliedSeq >= head:
		return fmt.Sprintf("%s has folded all %d events", id, head), true
	}
	percent := *own.AppliedSeq * 100 / head
	return fmt.Sprintf("%s has folded %d of %d events (%d %%)", id, *own.AppliedSeq, head, percent), false
}
