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
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// drainWait bounds how long drain waits for the next leader.
const drainWait = 30 * time.Second

// replacement has the changes that replace made. A step that was done before has no change.
type replacement struct {
	Old      string             `json:"old"`
	New      string             `json:"new"`
	Added    *wire.MemberAnswer `json:"added,omitempty"`
	Promoted *wire.MemberAnswer `json:"promoted,omitempty"`
	Removed  *wire.MemberAnswer `json:"removed,omitempty"`
}

func (a memberCommands) replaceCommand() *cobra.Command {
	var f confirmFlags
	var peer, api string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "replace OLD NEW", Short: "Put a new node in the place of a member", Args: exactArgs("OLD", "NEW"),
		Long: `replace adds NEW as a learner, waits until it keeps up with the leader, makes a voter of it, and removes OLD,
permanently. Start NEW first with recount-node serve --join, under an id that the cluster never had. OLD may
run or be lost. A step that is done is skipped, so give the same command again after any interruption. On a
terminal it asks first, in scripts give --yes.`,
		Example: `  recount cluster replace n3 n4 --peer 10.0.0.4:9441 --reason "n3 lost its disk" --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case peer == "":
				return usagef("--peer is required: host:port at which the other members reach NEW")
			case args[0] == args[1]:
				return usagef("OLD and NEW are the same: a node id is used once, so NEW needs an id of its own")
			case f.opID != "":
				return usagef("--op-id names one operation, and replace has three: leave it out")
			}
			if err := checkReason(f.reason); err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), &f, "cluster replace", replaceHits(args[0])); err != nil {
				return err
			}
			r := wire.MemberRequest{NodeID: args[1], PeerAddress: peer, APIAddress: api}
			return a.replace(cmd.Context(), args[0], r, &f.opFlags, wait)
		},
	}
	cmd.Flags().StringVar(&peer, "peer", "", "host:port at which the other members reach NEW")
	cmd.Flags().StringVar(&api, "api", "", "base URL at which clients reach NEW; kept in the log")
	cli.Span(cmd.Flags(), &wait, "wait", longestWait, "wait this long until NEW keeps up")
	f.add(cmd)
	return cmd
}

// replaceHits describes the member that is to be replaced. It may be gone when the command is repeated.
func replaceHits(id string) func(context.Context, *client.Client) (name, hits string, err error) {
	return func(ctx context.Context, c *client.Client) (name, hits string, err error) {
		cluster, err := c.Cluster(ctx)
		if err != nil {
			return "", "", err
		}
		if memberOf(cluster, id) == nil {
			return id, "no member any more", nil
		}
		return memberHits(id)(ctx, c)
	}
}

// replace makes the steps that are not done yet.
func (a memberCommands) replace(ctx context.Context, old string, r wire.MemberRequest, f *opFlags,
	wait time.Duration) error {
	now, err := a.look(ctx)
	if err != nil {
		return err
	}
	if err := mayReplace(now, old, r.NodeID); err != nil {
		return err
	}
	got := &replacement{Old: old, New: r.NodeID}
	done := memberOf(now, r.NodeID)
	if done == nil {
		r.Op = a.step(f)
		got.Added, err = callOperation(ctx, a.app, memberChange(func(ctx context.Context,
			m client.Members) (*wire.MemberAnswer, error) {
			return m.Add(ctx, r)
		}).on)
		if err != nil {
			return repeatable(err)
		}
		a.notef("added %s as a learner", plain(r.NodeID))
	}
	if done == nil || done.Suffrage != "voter" {
		if got.Promoted, err = a.promoteWhenReady(ctx, old, r.NodeID, f, wait); err != nil {
			return err
		}
		a.notef("promoted %s: it votes", plain(r.NodeID))
	}
	if memberOf(now, old) != nil {
		if got.Removed, err = a.removeOld(ctx, old, f); err != nil {
			return err
		}
		a.notef("removed %s; if it still runs, stop it", plain(old))
	}
	return a.printFields(got, "old", old, "new", r.NodeID, "added", stepText(got.Added),
		"promoted", stepText(got.Promoted), "removed", stepText(got.Removed))
}

func stepText(got *wire.MemberAnswer) string {
	switch {
	case got == nil:
		return "done before"
	case got.Seq == 0:
		return "nothing changed"
	}
	return fmt.Sprintf("seq %d", got.Seq)
}

// step names the next operation of a command that has several.
func (a memberCommands) step(f *opFlags) wire.Op {
	one := *f
	return a.op(&one)
}

func (a memberCommands) look(ctx context.Context) (*wire.ClusterAnswer, error) {
	return call(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.ClusterAnswer, error) {
		return c.Cluster(ctx)
	})
}

func memberOf(c *wire.ClusterAnswer, id string) *wire.Member {
	for i, m := range c.Members {
		if m.ID == id {
			return &c.Members[i]
		}
	}
	return nil
}

// votersUp counts the voters, those that answer, and names the others. id is left out.
func votersUp(c *wire.ClusterAnswer, id string) (all, up int, away []string) {
	for _, m := range c.Members {
		switch {
		case m.Suffrage != "voter" || m.ID == id:
		case m.State == "unreachable":
			all++
			away = append(away, m.ID)
		default:
			all, up = all+1, up+1
		}
	}
	return all, up, away
}

// mayReplace refuses what could not be brought to its end, before anything changes.
func mayReplace(now *wire.ClusterAnswer, old, fresh string) error {
	next := memberOf(now, fresh)
	if memberOf(now, old) == nil && (next == nil || next.Suffrage != "voter") {
		return &codedError{exitFailed, fmt.Errorf("%s is no member, and %s is not its successor", old, fresh),
			"\"recount cluster status\" lists them. If it was removed before, use \"recount cluster add\" and " +
				"\"recount cluster promote\"."}
	}
	if now.Leader == "" {
		all, up, away := votersUp(now, "")
		return &codedError{exitUnavailable,
			fmt.Errorf("no node leads: %d of %d voters answer and a majority is %d, so no member can be changed",
				up, all, all/2+1),
			"Bring back " + dash(strings.Join(away, ", ")) +
				". If they are lost permanently, see docs/runbooks/lost-majority.md."}
	}
	all, up, away := votersUp(now, old)
	if next == nil || next.Suffrage != "voter" { // it will answer: it votes only after it has kept up
		all, up = all+1, up+1
	}
	if up <= all/2 {
		return &codedError{exitUnavailable,
			fmt.Errorf("without %s, %d of %d voters would answer: too few for a majority", old, up, all),
			bringBack(away)}
	}
	return nil
}

// repeatable says that the command goes on where it ended.
func repeatable(err error) error {
	return &codedError{exitCode(err), err, "Give the same command again: it goes on after the last step that was done."}
}

// removedByAnother says that an operator who works at the same time has taken OLD away. A voter more than before
// would be one that nobody asked for.
func removedByAnother(old, fresh string) error {
	return &codedError{exitFailed,
		fmt.Errorf("%s was removed by another operation meanwhile, and %s stays a learner", old, fresh),
		"See \"recount operations\" and \"recount cluster status\", then \"recount cluster promote " + fresh +
			"\" or \"recount cluster remove " + fresh + "\"."}
}

// promoteWhenReady waits until the learner id keeps up, and makes a voter of it, while old is a member.
func (a memberCommands) promoteWhenReady(ctx context.Context, old, id string, f *opFlags,
	wait time.Duration) (*wire.MemberAnswer, error) {
	end := time.Now().Add(wait)
	o := a.step(f)
	for p := (catchUp{id: id}); ; {
		now, err := a.look(ctx)
		if err != nil {
			return nil, repeatable(err)
		}
		m := memberOf(now, id)
		switch {
		case m == nil:
			return nil, repeatable(fmt.Errorf("%s is no member any more", id))
		case m.Suffrage != "voter" && memberOf(now, old) == nil:
			return nil, removedByAnother(old, id)
		case m.Learner == nil || m.Learner.Promotable: // without the leader's word its refusal says why
			got, err := callOperation(ctx, a.app, memberChange(func(ctx context.Context,
				c client.Members) (*wire.MemberAnswer, error) {
				return c.Promote(ctx, id, o)
			}).on)
			if err == nil || !tooEarly(err) {
				return got, wrapped(err)
			}
		default:
			if text := p.text(m.Learner, time.Now()); text != "" {
				a.notef("%s", plain(text))
			}
		}
		if time.Now().After(end) {
			return nil, repeatable(&codedError{exitUnavailable, fmt.Errorf("%s has not kept up in %s", id, wait), ""})
		}
		if err := pause.For(ctx, memberPause); err != nil {
			return nil, repeatable(err)
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return repeatable(err)
}

// tooEarly reports whether a node says that a change can be asked for again soon.
func tooEarly(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.RetryAfterMS != 0 &&
		(p.Code == wire.CodeStale || p.Code == wire.CodeNoLeader || p.Code == wire.CodeOverloaded)
}

// catchUp describes how a learner catches up.
type catchUp struct {
	id    string
	first uint64 // entries lacking at began
	began time.Time
	said  time.Time
}

// text returns the entries lacking, the rate and the time to go, or "" if it was said a short while ago.
func (p *catchUp) text(l *wire.LearnerProgress, now time.Time) string {
	if p.began.IsZero() {
		p.first, p.began = l.Lacks, now
	}
	if !p.said.IsZero() && now.Sub(p.said) < sayEvery {
		return ""
	}
	p.said = now
	text := fmt.Sprintf("%s lacks %d entries", p.id, l.Lacks)
	passed := now.Sub(p.began).Seconds()
	if l.Lacks < p.first && passed > 0 {
		rate := float64(p.first-l.Lacks) / passed
		left := time.Duration(float64(l.Lacks) / rate * float64(time.Second)).Round(time.Second)
		return fmt.Sprintf("%s, %.0f/s, %s to go", text, rate, left)
	}
	return text + ": " + l.Why
}

// removeOld removes a member, and asks again while a leader that is removed hands over.
func (a memberCommands) removeOld(ctx context.Context, id string, f *opFlags) (*wire.MemberAnswer, error) {
	o := a.step(f)
	for end := time.Now().Add(drainWait); ; {
		got, err := callOperation(ctx, a.app, memberChange(func(ctx context.Context,
			m client.Members) (*wire.MemberAnswer, error) {
			return m.Remove(ctx, id, o)
		}).on)
		switch {
		case errors.Is(err, client.ErrNotFound): // by a request that had no answer
			return nil, nil
		case err == nil || !tooEarly(err) || time.Now().After(end):
			return got, wrapped(err)
		}
		if err := pause.For(ctx, memberPause); err != nil {
			return nil, repeatable(err)
		}
	}
}
