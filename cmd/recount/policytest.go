package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
)

// trialKeys are files with keys that signatures are checked with.
type trialKeys struct{ hmac, ed25519 []string }

func (k *trialKeys) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&k.hmac, "hmac-key-file", nil,
		"with --records: check signatures with this HMAC secret, repeatable")
	cmd.Flags().StringArrayVar(&k.ed25519, "ed25519-pub", nil,
		"with --records: check signatures with the public key in this file (base64 or hex), repeatable")
}

// keySet is nil without any key.
func (k *trialKeys) keySet() (*verify.KeySet, error) {
	var keys []verify.Key
	for flag, paths := range map[string][]string{"--hmac-key-file": k.hmac, "--ed25519-pub": k.ed25519} {
		for _, path := range paths {
			text, err := readSetting(flag, path)
			if err != nil {
				return nil, err
			}
			key, err := readTrialKey(flag, text)
			if err != nil {
				return nil, usagef("%s %s: %w", flag, path, err)
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return verify.NewKeySet(keys), nil
}

func readTrialKey(flag string, text []byte) (verify.Key, error) {
	if flag == "--hmac-key-file" {
		secret, err := verify.ReadSecret(text)
		if err != nil {
			return verify.Key{}, err
		}
		return verify.NewHMACKey(secret)
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if public, err := decode(string(bytes.TrimSpace(text))); err == nil {
			return verify.NewEd25519Key(public)
		}
	}
	return verify.Key{}, errors.New("neither base64 nor hex")
}

// trialFlags say what is judged.
type trialFlags struct {
	records  string
	from, to uint64
	last     int
	list     bool
	keys     trialKeys
}

func (a policyCommands) testCommand() *cobra.Command {
	var f trialFlags
	cmd := &cobra.Command{
		Use: "test FILE", Short: "Try a policy over records and count the changes", Args: exactArgs("FILE"),
		Long: `test judges every record on its own: structure, signature, checks and rules, without the history of the ledger. Only
a generation shows the consequences for other records (ids that become free, epochs).

With --from-seq and --to-seq, or --last, the records are submissions of a live ledger, judged with the signature facts that the
ledger keeps, and compared with its current answers. Answers that depend on other records - a conflict, an epoch that is too old or
has two roots - do not depend on the policy. Such a record is compared by itself under the policy that judged it. With --records they come from a file, one per line or in the form of the corpus, and
verdicts are compared with those of the default policy. Their signatures are checked with --hmac-key-file and --ed25519-pub;
without any key they count as valid, and the output says so.`,
		Example: `  recount policy test fix.yaml --dev /tmp/recount --from-seq 1 --to-seq 5000 --list
  recount policy test fix.yaml --last 10000
  recount policy test testdata/policies/tighter-tolerance.yaml --records testdata/good-hmac.ndjson
  recount policy test fix.yaml --records suspects.ndjson --hmac-key-file agent.key --list -o ndjson`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPolicy(args[0])
			if err != nil {
				return unusable(err, "Nothing was tried. Fix the places named above.")
			}
			return a.try(cmd.Context(), p, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.records, "records", "", "records to judge, instead of a ledger's")
	flags.Uint64Var(&f.from, "from-seq", 0, "first event of the ledger to judge")
	flags.Uint64Var(&f.to, "to-seq", 0, "last one")
	flags.IntVar(&f.last, "last", 0, "instead: the newest submissions of the ledger, so many")
	flags.BoolVar(&f.list, "list", false, "also list every record that changes")
	f.keys.add(cmd)
	return cmd
}

func (a policyCommands) try(ctx context.Context, p verify.Policy, f trialFlags) error {
	keySet, err := f.keys.keySet()
	if err != nil {
		return err
	}
	if err := f.check(keySet != nil); err != nil {
		return err
	}
	t := trial.New(p)
	t.Keys = keySet
	var l *list[trial.Change]
	if f.list {
		l = newList(a.app, func(t *table, c trial.Change) {
			t.row(c.Seq, dash(c.PCSID), c.Shard, c.Before, c.After, c.Reason)
		}, count("SEQ", 1), hexID("PCS_ID", 4), text("SHARD", 6, 8), word("BEFORE", 2), word("AFTER", 3),
			text("REASON", 5, 10)).because("no verdict changes")
		t.Changed = l.add
	}
	switch {
	case f.records != "":
		err = a.tryFile(t, f.records)
	case f.last > 0:
		err = tryNewest(ctx, a.app, t, f.last)
	default:
		q := client.AuditQuery{FromSeq: f.from, ToSeq: f.to}
		err = tryLedger(ctx, a.app, t, q, int(min(f.to-f.from, trial.MaxRecords))+1)
	}
	if err != nil && t.Records == 0 {
		return err
	}
	return errors.Join(err, a.showTrial(t, l))
}

// check refuses flags that contradict each other. Exactly one source must be named.
func (f *trialFlags) check(keys bool) error {
	fromFile, fromLedger := f.records != "", f.from != 0 || f.to != 0
	switch {
	case f.last < 0 || f.last > trial.MaxRecords:
		return usagef("--last must be in 1..%d", trial.MaxRecords)
	case f.last > 0 && (fromFile || fromLedger):
		return usagef("give either --records FILE, or --from-seq and --to-seq, or --last")
	case f.last == 0 && (fromFile == fromLedger || fromLedger && (f.from == 0 || f.to < f.from)):
		return usagef("give either --records FILE, or --from-seq and --to-seq, or --last")
	case !fromFile && keys:
		return usagef("keys go with --records; of a ledger's events the recorded facts count")
	}
	return nil
}

// showTrial prints the sums of a trial, or the end of its list.
func (a policyCommands) showTrial(t *trial.Trial, l *list[trial.Change]) error {
	if l != nil {
		if err := l.end(); err != nil {
			return err
		}
		a.notef("%d records judged; %s", t.Records, t.Sums.Text())
		return nil
	}
	if a.format != formatTable {
		return a.printJSON(t.Sums)
	}
	out := a.table(text("CHANGE", 1, 20), text("RECORDS", 2, 10))
	out.row("(judged)", t.Records)
	out.row("(signatures)", t.Signatures)
	for _, change := range slices.Sorted(maps.Keys(t.Changes)) {
		out.row(change, t.Changes[change])
	}
	return out.flush()
}

// tryFile runs a trial over the records of a file.
func (a policyCommands) tryFile(t *trial.Trial, path string) error {
	f, err := openInput(path)
	if err != nil {
		return usagef("--records: %w", err)
	}
	defer f.Close()
	if t.Keys == nil {
		a.notef("Signatures are taken as valid, and not checked.")
	}
	err = readRequests(f, "judged", func(j request) error {
		if j.http.Method != http.MethodPost || j.http.Path != client.SubmitPath {
			return nil // a corpus line that is no submission
		}
		return t.Record(j.http.Body)
	})
	switch {
	case err == nil && t.Records == 0:
		a.notef("0 records: %s holds none", path)
	case t.Keys != nil && t.Records > 0 && t.Verified == 0:
		a.notef("Warning: no record verifies with the keys that were given; are they the right ones?")
	}
	return err
}
