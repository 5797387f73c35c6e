package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// trial is a policy that is tried over records, which writes nothing.
type trial struct {
	a      *app
	policy verify.Policy
	counts map[string]int
	list   *list[trialLine]
	total  int
}

// trialLine is one record whose verdict differs from what was said before.
type trialLine struct {
	Seq    uint64 `json:"seq,omitempty"`
	PCSID  string `json:"pcs_id"`
	Shard  string `json:"shard_id"`
	Before string `json:"before"`
	After  string `json:"after"`
	Reason string `json:"reason_code"`
}

// trialSums are the counts at the end.
type trialSums struct {
	Records int            `json:"records"`
	Changes map[string]int `json:"changes"`
}

func (a *app) policyTestCommand() *cobra.Command {
	var records string
	var from, to uint64
	var show bool
	cmd := &cobra.Command{
		Use: "test FILE", Short: "Try a policy over records and count what would change; writes nothing", Args: exactly("FILE"),
		Long: `test judges every record on its own: structure, signature, checks and rules, without the history of the ledger. What
follows for other records (ids that become free, epochs) shows only a generation.

With --from-seq and --to-seq the records are events of a live ledger, judged with the signature facts that the ledger keeps,
and compared with what it says now. With --records they come from a file, one per line or in the form of the corpus; their
signatures are taken as valid, and verdicts are compared with those of the default policy.`,
		Example: `  recount policy test fix.yaml --dev /tmp/recount --from-seq 1 --to-seq 5000 --list
  recount policy test testdata/policies/tighter-tolerance.yaml --records testdata/good-hmac.ndjson`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPolicy(args[0])
			if err != nil {
				return &codedError{exitRejected, err, "Nothing was tried; mend the places named above."}
			}
			t := &trial{a: a, policy: p, counts: map[string]int{}}
			if show {
				t.list = newList(a, func(t *table, l trialLine) { t.row(l.Seq, short(l.PCSID), l.Shard, l.Before, l.After, l.Reason) },
					"SEQ", "PCS_ID", "SHARD", "BEFORE", "AFTER", "REASON")
			}
			switch {
			case records != "" && (from != 0 || to != 0), records == "" && (from == 0 || to < from):
				return usagef("give either --records FILE, or --from-seq and --to-seq")
			case records != "":
				err = t.file(records)
			default:
				err = t.ledger(cmd.Context(), from, to)
			}
			return errors.Join(err, t.end())
		},
	}
	cmd.Flags().StringVar(&records, "records", "", "records to judge, instead of a ledger's")
	cmd.Flags().Uint64Var(&from, "from-seq", 0, "first event of the ledger to judge")
	cmd.Flags().Uint64Var(&to, "to-seq", 0, "last one")
	cmd.Flags().BoolVar(&show, "list", false, "also list every record that changes")
	return cmd
}

func (t *trial) end() error {
	if t.list != nil {
		if err := t.list.end(); err != nil {
			return err
		}
		t.a.talk("%d records, changes: %v", t.total, t.counts)
		return nil
	}
	if t.a.format != formatTable {
		return t.a.document(trialSums{t.total, t.counts})
	}
	out := t.a.table("CHANGE", "RECORDS")
	out.row("(judged)", t.total)
	for _, change := range slices.Sorted(maps.Keys(t.counts)) {
		out.row(change, t.counts[change])
	}
	return out.flush()
}

func (t *trial) add(seq uint64, rec *pcs.Record, before string, v verify.Verdict) error {
	t.total++
	after := v.Outcome.String()
	if after == before {
		return nil
	}
	t.counts[before+"->"+after]++
	if t.list == nil {
		return nil
	}
	reason := v.Reason.String()
	if v.Reason == verify.ReasonRule {
		reason = v.RuleReason
	}
	return t.list.add(trialLine{seq, rec.PCSID, rec.ShardID, before, after, reason})
}

func (t *trial) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return usagef("--records: %w", err)
	}
	defer f.Close()
	t.a.talk("Signatures are taken as valid, and not checked.")
	facts := verify.Facts{KeyID: "not-checked", Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw}
	return readJobs(f, func(j job) error {
		rec := pcs.Decode(j.request.Body)
		before := verify.Judge(verify.DefaultPolicy(), rec, facts, 0)
		return t.add(0, rec, before.Outcome.String(), verify.Judge(t.policy, rec, facts, 0))
	})
}

// ledger judges events of a live ledger with the facts recorded in them.
func (t *trial) ledger(ctx context.Context, from, to uint64) error {
	c, err := t.a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	q := client.AuditQuery{FromSeq: from}
	for item, err := range c.Audit(ctx, q) {
		if err != nil {
			return err
		}
		if item.Seq > to {
			return nil
		}
		if err := t.one(ctx, c, item); err != nil {
			return fmt.Errorf("event %d: %w", item.Seq, err)
		}
	}
	return nil
}

func (t *trial) one(ctx context.Context, c *client.Client, item wire.AuditItem) error {
	ctx, cancel := context.WithTimeout(ctx, t.a.timeout)
	defer cancel()
	e, err := c.Event(ctx, item.Seq, client.Read{})
	if err != nil {
		return err
	}
	sub, err := event.DecodeSubmission(e.Payload)
	if err != nil {
		return err
	}
	at, err := wire.ParseTime(e.LogTime)
	if err != nil {
		return err
	}
	f := verify.Facts{KeyID: sub.Facts.KeyID, Alg: verify.Alg(sub.Facts.Alg), Profile: pcs.Profile(sub.Facts.Profile), Mode: verify.Mode(sub.Facts.Mode)}
	rec := pcs.Decode(sub.Body)
	return t.add(item.Seq, rec, item.Outcome, verify.Judge(t.policy, rec, f, at.UnixNano()))
}
