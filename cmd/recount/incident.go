package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// keyIncident is what incident key finds out; -o json prints it and the bundle keeps it.
type keyIncident struct {
	KeyID         string         `json:"key_id"`
	Owner         string         `json:"owner"`
	RevokedSeq    uint64         `json:"revoked_seq"`
	Since         string         `json:"since"`
	SignedSince   int            `json:"signed_since"` // submissions with log time from Since on, up to RevokedSeq
	FirstSeq      uint64         `json:"first_seq,omitempty"`
	LastSeq       uint64         `json:"last_seq,omitempty"`
	ByShard       map[string]int `json:"by_shard"`
	ByOutcome     map[string]int `json:"by_outcome"`
	ByAddress     map[string]int `json:"by_address"`     // from where they came; "" counts those of which no address was recorded
	UnknownShards []string       `json:"unknown_shards"` // those that nobody registered as expected, sorted
	Generation    uint32         `json:"generation"`     // that gave the outcomes
	Hindsight     uint32         `json:"hindsight_generation,omitempty"`
	Reason        string         `json:"reason"`
	Ticket        string         `json:"ticket"`
	Bundle        string         `json:"bundle"` // directory
	Next          []string       `json:"next"`   // commands

	moved bool // the time since which it is in other hands was moved by this run
}

func (a *app) incidentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "incident", Short: "Handle a leaked key: revoke, list, keep the evidence, recount", Args: exactly(),
		Example: "  recount incident key hmac-0123456789abcdef --since 36h --reason \"laptop stolen\" --ticket INC-9",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.incidentKeyCommand())
	return cmd
}

// incidentFlags are what incident key is told.
type incidentFlags struct {
	confirmFlags
	since, out string
	hindsight  bool
}

func (a *app) incidentKeyCommand() *cobra.Command {
	var f incidentFlags
	cmd := &cobra.Command{
		Use: "key KEY_ID --since TIME", Short: "A key is in other hands since TIME: revoke it now and list what it signed since", Args: exactly("KEY_ID"),
		Long: `incident key does, in this order and safely repeated:

 1. revokes the key: from that event on every node answers its records with 403;
 2. lists everything that it signed since TIME, by shard, shards that nobody expects first (recount known-shards);
 3. writes a bundle below --out: incident.json, submissions.ndjson and index.html, a page to read and to hand on;
 4. with --hindsight, starts a generation that counts nothing of it; without, prints the commands to do so.

Run twice it finds the same revocation and lists the same again. A second run with an earlier TIME widens the list, and what
hindsight takes away; a later TIME changes neither. A bundle has the outcomes of the generation that answers, and its number in
its name. Rotate the agents to a new key first or at once after: docs/runbooks/key-leak.md.`,
		Example: `  recount incident key hmac-0123456789abcdef --since 2026-01-19T10:00:00Z --reason "laptop stolen" --ticket INC-9
  recount incident key ed-0123456789abcdef --since 36h --reason leak --ticket INC-9 --hindsight --yes -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			since, err := a.past("--since", f.since)
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
	cmd.Flags().StringVar(&f.since, "since", "", "since when others may have had it (required): "+when.Forms+" before now")
	cmd.Flags().StringVar(&f.out, "out", ".", "directory in which the bundle is made")
	cmd.Flags().BoolVar(&f.hindsight, "hindsight", false, "start the generation that counts nothing that the key signed since")
	f.add(cmd)
	return cmd
}

func (a *app) keyIncident(ctx context.Context, given string, since time.Time, f *incidentFlags) (*keyIncident, error) {
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
	id, err := within(ctx, a, func(ctx context.Context) (string, error) { return findKey(ctx, c, given) })
	if err != nil {
		return nil, err
	}
	in := &keyIncident{KeyID: id, ByShard: map[string]int{}, ByOutcome: map[string]int{}, ByAddress: map[string]int{}, UnknownShards: []string{}, Reason: f.reason, Ticket: f.ticket}
	before, err := within(ctx, a, func(ctx context.Context) (*wire.KeyAnswer, error) { return c.Key(ctx, id) })
	if err != nil {
		return nil, err
	}
	in.Owner = before.Owner
	rev, err := askAct(ctx, a, func(ctx context.Context, c *client.Client) (*wire.RevokeAnswer, error) {
		return c.RevokeKey(ctx, id, wire.RevokeRequest{Act: a.act(&f.actFlags), Since: wire.Time(since)})
	})
	if err != nil {
		return nil, err
	}
	in.RevokedSeq, in.Since, in.moved = rev.Seq, rev.Since, before.RevokedSeq != 0 && before.RevokedSince != rev.Since
	if since, err = wire.ParseTime(rev.Since); err != nil {
		return nil, err
	}
	a.talk("Revoked: what %s signs after event %d counts for nothing, on every node.", id, rev.Seq)
	var lines bytes.Buffer
	if err := a.signedSince(ctx, c, in, since, &lines); err != nil {
		return nil, err
	}
	if err := a.unknownOf(ctx, c, in); err != nil {
		return nil, err
	}
	if err := a.offerHindsight(ctx, c, in, f); err != nil {
		return nil, err
	}
	in.Bundle, err = filepath.Abs(filepath.Join(f.out, fmt.Sprintf("incident-%s-%d-generation-%d", id, in.RevokedSeq, in.Generation)))
	if err != nil {
		return nil, err
	}
	return in, writeBundle(in, lines.Bytes())
}

// mayWriteBelow makes the directory and tries to write there.
func mayWriteBelow(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".incident-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return usagef("--out: nothing was done: %w", err)
	}
	return nil
}

// within bounds one call by --timeout.
func within[T any](ctx context.Context, a *app, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return call(ctx)
}

// signedSince counts and keeps what the key signed between since and its revocation, as far as the node that answers has
// folded, which is at least up to the revocation.
func (a *app) signedSince(ctx context.Context, c *client.Client, in *keyIncident, since time.Time, lines *bytes.Buffer) error {
	enc := json.NewEncoder(lines)
	enc.SetEscapeHTML(false)
	q := client.AuditQuery{Key: in.KeyID, Since: since, Limit: 1000}
	q.MinSeq = in.RevokedSeq
	said := time.Now()
	for {
		page, err := a.auditPage(ctx, c, q)
		if err != nil {
			return err
		}
		in.Generation = page.Generation
		for _, item := range page.Items {
			if item.Seq > in.RevokedSeq {
				return nil
			}
			in.count(&item)
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		if time.Since(said) > 2*time.Second {
			said = time.Now()
			a.talk("%d submissions listed, up to event %d of %d", in.SignedSince, in.LastSeq, in.RevokedSeq)
		}
		q.Cursor = page.NextCursor
	}
}

func (in *keyIncident) count(item *wire.AuditItem) {
	if in.FirstSeq == 0 {
		in.FirstSeq = item.Seq
	}
	in.LastSeq = item.Seq
	in.SignedSince++
	in.ByShard[item.ShardID]++
	in.ByOutcome[item.Outcome]++
	in.ByAddress[item.Remote]++
}

// unknownOf finds the shards that nobody registered.
func (a *app) unknownOf(ctx context.Context, c *client.Client, in *keyIncident) error {
	page, err := within(ctx, a, c.KnownShards)
	if err != nil {
		return err
	}
	for shard := range in.ByShard {
		known := slices.ContainsFunc(page.Items, func(k wire.KnownShardsAnswer) bool {
			return slices.ContainsFunc(k.Patterns, func(p string) bool { return projections.MatchShard(p, shard) })
		})
		if !known {
			in.UnknownShards = append(in.UnknownShards, shard)
		}
	}
	slices.Sort(in.UnknownShards)
	return nil
}

// offerHindsight starts the generation that counts nothing of the key, or says how to.
func (a *app) offerHindsight(ctx context.Context, c *client.Client, in *keyIncident, f *incidentFlags) error {
	policies, err := within(ctx, a, c.Policies)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(policies.Items, func(p wire.PolicyAnswer) bool { return p.InForce })
	if i < 0 {
		return errors.New("the node names no policy in force")
	}
	policy := policies.Items[i].ID
	if !f.hindsight {
		in.Next = []string{fmt.Sprintf("recount generation start --policy %s --keys hindsight --reason %q --ticket %q", policy[:16], in.Reason, in.Ticket),
			"recount generation status N --wait && recount generation diff N", "recount generation activate N --diff DIGEST"}
		return nil
	}
	g, err := a.startHindsight(ctx, c, in, policy, f)
	if err != nil {
		return err
	}
	in.Hindsight = g.Generation
	in.Next = []string{fmt.Sprintf("recount generation status %d --wait && recount generation diff %d", g.Generation, g.Generation),
		fmt.Sprintf("recount generation activate %d --diff DIGEST", g.Generation)}
	return nil
}

// startHindsight starts the generation, or finds the one that an earlier run has started and that is being built.
func (a *app) startHindsight(ctx context.Context, c *client.Client, in *keyIncident, policy string, f *incidentFlags) (*wire.GenerationAnswer, error) {
	act := a.act(&f.actFlags)
	act.OpID = "hindsight-" + act.OpID[:min(len(act.OpID), 54)] // an op_id has at most 64 bytes
	g, err := within(ctx, a, func(ctx context.Context) (*wire.GenerationAnswer, error) {
		return c.StartGeneration(ctx, wire.GenerationRequest{Act: act, Policy: policy, Keys: wire.KeysHindsight})
	})
	var p *wire.Problem
	if err == nil || !errors.As(err, &p) || p.Code != wire.CodeStale || in.moved {
		return g, err
	}
	page, listErr := within(ctx, a, c.Generations)
	if listErr != nil {
		return nil, errors.Join(err, listErr)
	}
	for _, g := range page.Items {
		if (g.State == wire.GenerationBuilding || g.State == wire.GenerationReady) && g.Keys == wire.KeysHindsight && g.Policy == policy && g.Ticket == in.Ticket && g.StartedSeq > in.RevokedSeq {
			return &g, nil
		}
	}
	return nil, err
}

// shardsInOrder lists the shards of an incident: unknown ones first, then by count.
func (in *keyIncident) shardsInOrder() []shardCount {
	out := make([]shardCount, 0, len(in.ByShard))
	for shard, n := range in.ByShard {
		_, unknown := slices.BinarySearch(in.UnknownShards, shard)
		out = append(out, shardCount{shard, n, unknown})
	}
	slices.SortFunc(out, shardCount.compare)
	return out
}

func (a *app) showIncident(in *keyIncident) error {
	if a.format != formatTable {
		return a.document(in)
	}
	err := a.show(in, "key", in.KeyID, "owner", dash(in.Owner), "revoked at seq", in.RevokedSeq, "in other hands since", in.Since,
		"signed since then", in.SignedSince, "shards", len(in.ByShard), "of them unknown", len(in.UnknownShards), "came from", in.cameFrom(), "bundle", in.Bundle)
	if err != nil {
		return err
	}
	const most = 20
	fmt.Fprintln(a.out)
	t := a.table(text("SHARD", 1, 20), count("SIGNED SINCE", 2), word("EXPECTED", 3))
	for i, s := range in.shardsInOrder() {
		if i == most {
			t.row(fmt.Sprintf("and %d more, in the bundle", len(in.ByShard)-most), "", "")
			break
		}
		t.row(s.Shard, s.Count, !s.Unknown)
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.talk("\nNext:")
	for _, line := range in.Next {
		a.talk("  %s", line)
	}
	return nil
}

// writeBundle writes the three files of an incident, each as a whole.
func writeBundle(in *keyIncident, lines []byte) error {
	if err := os.MkdirAll(in.Bundle, 0o700); err != nil {
		return err
	}
	document, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := incidentPage.Execute(&page, in); err != nil {
		return err
	}
	for name, content := range map[string][]byte{"incident.json": append(document, '\n'), "submissions.ndjson": lines, "index.html": page.Bytes()} {
		path := filepath.Join(in.Bundle, name)
		if err := os.WriteFile(path+".tmp", content, 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
	}
	return nil
}
