package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// drained says that a node may be stopped.
type drained struct {
	Node    string `json:"node"`
	Leader  string `json:"leader"`
	Voters  int    `json:"voters"`  // of the cluster
	Without int    `json:"without"` // reachable voters when the node is stopped
}

func (a memberCommands) drainCommand() *cobra.Command {
	var f opFlags
	cmd := &cobra.Command{
		Use: "drain NODE", Short: "Prepare a node to be stopped", Args: exactArgs("NODE"),
		Long: `drain hands leadership over to another voter if NODE leads, waits until that one leads, and says that NODE may be
stopped. It is refused when without NODE too few voters answer for a majority. NODE stays a member and may
lead again later, so stop it soon. Nothing keeps a second node from being drained meanwhile: drain the next one only
when this one is back.`,
		Example: `  recount cluster drain n1 --reason "new kernel"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(f.reason); err != nil {
				return err
			}
			return a.drain(cmd.Context(), args[0], &f)
		},
	}
	f.add(cmd)
	return cmd
}

func (a memberCommands) drain(ctx context.Context, id string, f *opFlags) error {
	asked := false
	o := a.op(f)
	for end := time.Now().Add(drainWait); ; {
		now, err := a.look(ctx)
		if err != nil {
			return err
		}
		if err := mayStop(now, id); err != nil {
			return err
		}
		if now.Leader != "" && now.Leader != id && leads(now) {
			all, _, _ := votersUp(now, "")
			_, without, _ := votersUp(now, id)
			a.notef("%s may be stopped: %s leads, and %d of %d voters answer without it", plain(id), plain(now.Leader),
				without, all)
			return a.printFields(drained{id, now.Leader, all, without}, "node", id, "leader", now.Leader,
				"voters", all, "without it", without)
		}
		if now.Leader == id && !asked {
			do := memberChange(func(ctx context.Context, m client.Members) (*wire.MemberAnswer, error) {
				return m.Transfer(ctx, wire.LeaderRequest{Op: o})
			})
			_, err := callOperation(ctx, a.app, do.on)
			if err != nil && !tooEarly(err) {
				return err
			}
			asked = err == nil
		}
		if time.Now().After(end) {
			return &codedError{exitUnavailable, errors.New("no other voter has taken over leadership in time"),
				"Do not stop " + id + " yet. See \"recount cluster status\", and give the command again."}
		}
		if err := pause.For(ctx, memberPause/4); err != nil {
			return err
		}
	}
}

// leads reports whether the leader says of itself that it leads.
func leads(now *wire.ClusterAnswer) bool {
	m := memberOf(now, now.Leader)
	return m != nil && m.State == "leader"
}

// mayStop refuses a node without which too few voters answer.
func mayStop(now *wire.ClusterAnswer, id string) error {
	m := memberOf(now, id)
	if m == nil {
		return &codedError{exitNotFound, fmt.Errorf("%s is no member", id), "\"recount cluster status\" lists them."}
	}
	all, _, _ := votersUp(now, "")
	_, without, away := votersUp(now, id)
	if m.Suffrage == "voter" && without <= all/2 {
		return &codedError{exitUnavailable,
			fmt.Errorf("without %s, %d of %d voters answer and a majority is %d: nothing would be accepted", id,
				without, all, all/2+1),
			bringBack(away)}
	}
	return nil
}

// bringBack names the next step when too few voters are reachable.
func bringBack(away []string) string {
	add := "dd and promote a new node first (\"recount cluster add --help\"), then give this command again."
	if len(away) == 0 {
		return "A" + add
	}
	return "Bring back " + strings.Join(away, ", ") + ", or a" + add
}
