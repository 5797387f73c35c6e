package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

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

// origin fills in the author of a report, the cluster and the state of the log. What a node does not disclose stays
// empty: the evidence is written all the same.
func (a incidentCommands) origin(ctx context.Context, c *client.Client, o *incident.Origin) {
	o.Cluster, o.WrittenAt = a.place.Source, wire.Time(time.Now())
	if who, err := withTimeout(ctx, a.app, c.Whoami); err == nil {
		o.ClusterID, o.Author, o.Role, o.Credential = who.ClusterID, who.Actor, string(who.Role), who.Credential
	} else {
		a.notef("The report does not name its author: %v", err)
	}
	if at, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.DigestAnswer, error) {
		return c.Digest(ctx, 0)
	}); err == nil {
		o.LogSeq, o.LogDigest = at.Seq, at.Log
	} else {
		a.notef("The report has no digest of the log: %v", err)
	}
}

// tallied finishes a tally with the shards that somebody registered.
func (a incidentCommands) tallied(ctx context.Context, c *client.Client, t *incident.Tally) error {
	page, err := withTimeout(ctx, a.app, c.KnownShards)
	if err != nil {
		return err
	}
	t.Finish(func(shard string) bool {
		return slices.ContainsFunc(page.Items, func(k wire.KnownShardsAnswer) bool {
			return slices.ContainsFunc(k.Patterns, func(p string) bool { return projections.MatchShard(p, shard) })
		})
	})
	return nil
}

// cameFrom names the addresses that most submissions came from, for one line.
func cameFrom(t *incident.Tally) string {
	const most = 3
	var parts []string
	all := t.Addresses()
	for _, a := range all[:min(most, len(all))] {
		parts = append(parts, fmt.Sprintf("%s (%d)", cmp.Or(a.Address, "no address recorded"), a.Count))
	}
	if len(all) > most {
		parts = append(parts, fmt.Sprintf("and %d more, in the bundle", len(all)-most))
	}
	return dash(strings.Join(parts, ", "))
}

// showShards lists the shards of a tally, as many as one looks at.
func (a incidentCommands) showShards(tally *incident.Tally) error {
	const most = 20
	fmt.Fprintln(a.out)
	t := a.table(text("SHARD", 1, 20), count("SUBMISSIONS", 2), word("KNOWN", 3), moment("FIRST", 4),
		moment("LAST", 5))
	for i, s := range tally.Shards {
		if i == most {
			t.row(fmt.Sprintf("and %d more, in the bundle", len(tally.Shards)-most), "", "", "", "")
			break
		}
		t.row(s.ShardID, s.Submissions, s.Known, s.FirstAt, s.LastAt)
	}
	return t.flush()
}

// showNext names the commands that go on.
func (a incidentCommands) showNext(lines []string) {
	if len(lines) == 0 {
		return
	}
	a.notef("\nNext:")
	for _, line := range lines {
		a.notef("  %s", line)
	}
}
