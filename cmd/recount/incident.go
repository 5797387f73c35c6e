package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// keyIncident is the report of a key, and what only this run knows of it.
type keyIncident struct {
	incident.Key
	sinceSeq uint64 // event that set that time: the revocation, or a later one that moved it
}

// incidentCommands implements recount incident.
type incidentCommands struct{ *app }

func (a incidentCommands) command() *cobra.Command {
	cmd := &cobra.Command{Use: "incident", Short: "Handle a compromised key or a verification bypass",
		Args: exactArgs(),
		Example: `  recount incident key hmac-0123456789abcdef --since 36h --reason "laptop stolen" --ticket INC-9
  recount incident bypass --reason "canary accepted" --ticket INC-7`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.keyCommand(), a.bypassCommand())
	return cmd
}

// incidentFlags has the flags of incident key.
type incidentFlags struct {
	confirmFlags
	since, out string
	hindsight  bool
}

func (a incidentCommands) keyCommand() *cobra.Command {
	var f incidentFlags
	cmd := &cobra.Command{
		Use:         "key KEY_ID --since TIME",
		Annotations: exportsVars("KEY", "BUNDLE", "GEN"),
		Short:       "Handle a key compromised since TIME: revoke it, list its records",
		Args:        exactArgs("KEY_ID"),
		Long: `incident key runs these steps in order. You can repeat it safely. It

 1. revokes the key: from that event on every node answers its records with 403
 2. lists everything that it signed since TIME, by shard, unknown shards first (recount shard known)
 3. writes a bundle below --out: incident.json, submissions.ndjson and index.html, a page to read, to print and to hand on
 4. with --hindsight, starts a generation that ignores these records, and without it prints the commands to do so.

A second run finds the same revocation and prints the same list. With an earlier TIME it widens the list and the effect of
hindsight. A later TIME changes neither. A bundle has the outcomes of the active generation, and its number in
its name. Move the agents to a new key before or at once after: docs/runbooks/key-leak.md.`,
		Example: `  recount incident key hmac-0123456789abcdef --since 2026-01-19T10:00:00Z --reason "laptop stolen" --ticket INC-9
  recount incident key ed-0123456789abcdef --since 36h --reason leak --ticket INC-9 --hindsight --yes -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			since, err := a.past(f.since)
			switch {
			case err != nil:
				return err
			case since.IsZero():
				return usagef("--since is required: from when on may others have had the key?")
			case f.reason == "":
				return usagef("--reason is required: auditors will ask why")
			}
			in, err := a.keyIncident(cmd.Context(), args[0], since, &f)
			if err != nil {
				return err
			}
			return a.showIncident(in)
		},
	}
	cmd.Flags().StringVar(&f.since, "since", "",
		"since when others may have had it (required): "+when.Forms+" before now")
	cmd.Flags().StringVar(&f.out, "out", ".", "directory in which the bundle is made")
	cmd.Flags().BoolVar(&f.hindsight, "hindsight", false,
		"start a generation that ignores the records of the key since")
	f.add(cmd)
	return cmd
}

func (a incidentCommands) keyIncident(ctx context.Context, given string, since time.Time,
	f *incidentFlags) (*keyIncident, error) {
	if err := mayWriteBelow(f.out); err != nil { // before anything is done
		return nil, err
	}
	if err := a.confirm(ctx, &f.confirmFlags, "incident key", keyHits(given)); err != nil {
		return nil, err
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	id, err := withTimeout(ctx, a.app, func(ctx context.Context) (string, error) { return findKey(ctx, c, given) })
	if err != nil {
		return nil, err
	}
	in := &keyIncident{Key: incident.Key{KeyID: id, Tally: incident.NewTally()}}
	in.Reason, in.Ticket = f.reason, f.ticket
	before, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.KeyAnswer, error) { return c.Key(ctx, id) })
	if err != nil {
		return nil, err
	}
	in.Owner = before.Owner
	rev, err := callOperation(ctx, a.app, func(ctx context.Context, c *client.Client) (*wire.RevokeAnswer, error) {
		return c.RevokeKey(ctx, id, wire.RevokeRequest{Op: a.op(&f.opFlags), Since: wire.Time(since)})
	})
	if err != nil {
		return nil, err
	}
	in.RevokedSeq, in.Since = rev.Seq, rev.Since
	if since, err = wire.ParseTime(rev.Since); err != nil {
		return nil, err
	}
	a.notef("Revoked: every node refuses what %s signs after event %d.", id, rev.Seq)
	var lines bytes.Buffer
	if err := errors.Join(a.sinceSet(ctx, c, in), a.signedSince(ctx, c, in, since, &lines)); err != nil {
		return nil, err
	}
	if err := a.tallied(ctx, c, &in.Tally); err != nil {
		return nil, err
	}
	in.SignedSince = in.Submissions()
	if err := a.offerHindsight(ctx, c, in, f); err != nil {
		return nil, err
	}
	in.Bundle, err = filepath.Abs(filepath.Join(f.out,
		fmt.Sprintf("incident-%s-%d-generation-%d", id, in.RevokedSeq, in.Generation)))
	if err != nil {
		return nil, err
	}
	a.origin(ctx, c, &in.Origin)
	return in, incident.Write(in.Bundle, &in.Key, map[string][]byte{"submissions.ndjson": lines.Bytes()})
}

// sinceSet finds the event that set the time since which the key is compromised: a generation from before it
// takes less away.
func (a incidentCommands) sinceSet(ctx context.Context, c *client.Client, in *keyIncident) error {
	in.sinceSeq = in.RevokedSeq
	return a.eachOperation(ctx, c, &operationsFlags{from: in.RevokedSeq},
		func(i wire.OperationItem) error {
			if i.Kind == event.KeyRevoked.String() && i.Effect == wire.EffectApplied &&
				about(i.About).text("key_id") == in.KeyID {
				in.sinceSeq = i.Seq
			}
			return nil
		}, func() error { return nil })
}

// signedSince counts and keeps what the key signed between since and its revocation, as far as the node that
// answers has folded, which is at least up to the revocation.
func (a incidentCommands) signedSince(ctx context.Context, c *client.Client, in *keyIncident, since time.Time,
	lines *bytes.Buffer) error {
	enc := json.NewEncoder(lines)
	enc.SetEscapeHTML(false)
	q := client.AuditQuery{Key: in.KeyID, Since: since, PageTimeout: a.timeout}
	q.MinSeq = in.RevokedSeq
	noted := time.Now()
	for page, err := range c.AuditPages(ctx, q) {
		if err != nil {
			return err
		}
		in.Generation = page.Generation
		for _, item := range page.Items {
			if item.Seq > in.RevokedSeq {
				return nil
			}
			if err := errors.Join(in.Add(&item, item.Outcome), enc.Encode(item)); err != nil {
				return err
			}
		}
		if page.NextCursor != "" && time.Since(noted) > 2*time.Second {
			noted = time.Now()
			a.notef("%d submissions listed, up to event %d of %d", in.Submissions(), in.LastSeq, in.RevokedSeq)
		}
	}
	return nil
}

// offerHindsight starts the generation that ignores the key, or sets the command line for it.
func (a incidentCommands) offerHindsight(ctx context.Context, c *client.Client, in *keyIncident,
	f *incidentFlags) error {
	policies, err := withTimeout(ctx, a.app, c.Policies)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(policies.Items, func(p wire.PolicyAnswer) bool { return p.InForce })
	if i < 0 {
		return errors.New("the node names no policy in force")
	}
	policy := policies.Items[i].ID
	if !f.hindsight {
		done, err := a.takenAway(ctx, c, in)
		if err != nil || done {
			return err
		}
		in.Next = []string{a.commandLine("recount generation start --wait --diff --keys hindsight", "--policy",
			policy[:16], "--reason", in.Reason, "--ticket", in.Ticket)}
		return nil
	}
	g, err := a.startHindsight(ctx, c, in, policy, f)
	if err != nil {
		return err
	}
	in.Hindsight = g.Generation
	in.Next = []string{a.commandLine(fmt.Sprintf("recount generation status %d --wait", g.Generation)),
		a.commandLine(fmt.Sprintf("recount generation diff %d", g.Generation))}
	return nil
}

// takenAway reports whether the active generation ignores all records of the key already.
func (a incidentCommands) takenAway(ctx context.Context, c *client.Client, in *keyIncident) (bool, error) {
	in.Next = []string{}
	page, err := withTimeout(ctx, a.app, c.Generations)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(page.Items, func(g wire.GenerationAnswer) bool {
		return g.Generation == page.Active && g.Keys == wire.KeysHindsight && g.StartedSeq > in.sinceSeq
	}), nil
}

// startHindsight starts the generation, or finds the one that an earlier run has started and that is being built.
func (a incidentCommands) startHindsight(ctx context.Context, c *client.Client, in *keyIncident, policy string,
	f *incidentFlags) (*wire.GenerationAnswer, error) {
	op := a.op(&f.opFlags)
	op.OpID = "hindsight-" + op.OpID[:min(len(op.OpID), 54)] // an op_id has at most 64 bytes
	g, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.GenerationAnswer, error) {
		return c.StartGeneration(ctx, wire.GenerationRequest{Op: op, Policy: policy, Keys: wire.KeysHindsight})
	})
	var p *wire.Problem
	if err == nil || !errors.As(err, &p) || p.Code != wire.CodeStale && p.Code != wire.CodeOpIDReused {
		return g, err
	}
	page, listErr := withTimeout(ctx, a.app, c.Generations)
	if listErr != nil {
		return nil, errors.Join(err, listErr)
	}
	for _, g := range page.Items {
		if g.State != wire.GenerationBuilding && g.State != wire.GenerationReady || g.Keys != wire.KeysHindsight ||
			g.Policy != policy || g.Ticket != in.Ticket {
			continue
		}
		if g.StartedSeq > in.sinceSeq {
			return &g, nil
		}
		return nil, &codedError{exitRejected,
			fmt.Errorf("generation %d was started before event %d, which moved the time of the compromise: "+
				"it removes too little", g.Generation, in.sinceSeq),
			fmt.Sprintf("Drop it with \"%s\", then repeat this command.",
				a.commandLine(fmt.Sprintf("recount generation drop %d", g.Generation)))}
	}
	return nil, err
}

func (a incidentCommands) showIncident(in *keyIncident) error {
	if a.format != formatTable {
		return a.printJSON(in.Key)
	}
	err := a.printFields(in, "key", in.KeyID, "owner", dash(in.Owner), "revoked at seq", in.RevokedSeq,
		"compromised since", in.Since, "signed since then", in.SignedSince, "shards", len(in.ByShard),
		"of them unknown", len(in.UnknownShards), "came from", cameFrom(&in.Tally), "bundle", in.Bundle)
	if err != nil {
		return err
	}
	if err := a.showShards(&in.Tally); err != nil {
		return err
	}
	a.showNext(in.Next)
	hindsight := ""
	if in.Hindsight != 0 {
		hindsight = fmt.Sprint(in.Hindsight)
	}
	return a.setVars("KEY", in.KeyID, "BUNDLE", in.Bundle, "GEN", hindsight)
}
