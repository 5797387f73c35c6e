package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// trial is a policy that is tried over records, which writes nothing.
type trial struct {
	a      *app
	policy verify.Policy
	ring   *verify.Ring // nil: signatures are not checked
	how    string       // what became of the signatures
	counts map[string]int
	list   *list[trialLine]
	total  int
	letIn  letIn
	seen   *trialProgress // nil: nobody watches
}

// letIn counts the records that were refused and would be accepted, and those of them that no key vouches for.
type letIn struct{ all, unsigned, unverified int }

// What a trial does about signatures.
const (
	sigsAssumed  = "taken as valid"
	sigsChecked  = "checked"
	sigsRecorded = "as recorded"
)

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
	Records    int            `json:"records"`
	Signatures string         `json:"signatures"`
	Changes    map[string]int `json:"changes"`
}

// trialKeys are files with keys that signatures are checked with.
type trialKeys struct{ hmac, ed25519 []string }

func (k *trialKeys) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&k.hmac, "hmac-key-file", nil,
		"with --records: check signatures with this HMAC secret, repeatable")
	cmd.Flags().StringArrayVar(&k.ed25519, "ed25519-pub", nil,
		"with --records: check signatures with the public key in this file (base64 or hex), repeatable")
}

// ring is nil without any key.
func (k *trialKeys) ring() (*verify.Ring, error) {
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
	return verify.NewRing(keys), nil
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

func (a *app) policyTestCommand() *cobra.Command {
	var f trialFlags
	cmd := &cobra.Command{
		Use: "test FILE", Short: "Try a policy over records and count the changes", Args: exactly("FILE"),
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

func (a *app) try(ctx context.Context, p verify.Policy, f trialFlags) error {
	t := &trial{a: a, policy: p, counts: map[string]int{}}
	ring, err := f.keys.ring()
	if err != nil {
		return err
	}
	fromFile, fromLedger := f.records != "", f.from != 0 || f.to != 0
	switch {
	case f.last < 0 || f.last > maxTried:
		return usagef("--last must be in 1..%d", maxTried)
	case f.last > 0 && (fromFile || fromLedger):
		return usagef("give either --records FILE, or --from-seq and --to-seq, or --last")
	case f.last == 0 && (fromFile == fromLedger || fromLedger && (f.from == 0 || f.to < f.from)):
		return usagef("give either --records FILE, or --from-seq and --to-seq, or --last")
	case !fromFile && ring != nil:
		return usagef("keys go with --records; of a ledger's events the recorded facts count")
	}
	if f.list {
		t.list = newList(a, func(t *table, l trialLine) {
			t.row(l.Seq, dash(l.PCSID), l.Shard, l.Before, l.After, l.Reason)
		},
			count("SEQ", 1), hexID("PCS_ID", 4), text("SHARD", 6, 8), word("BEFORE", 2), word("AFTER", 3),
			text("REASON", 5, 10)).because("no verdict changes")
	}
	switch t.ring = ring; {
	case fromFile:
		err = t.file(f.records)
	case f.last > 0:
		err = t.newest(ctx, f.last)
	default:
		err = t.between(ctx, f.from, f.to)
	}
	if err != nil && t.total == 0 {
		return err
	}
	return errors.Join(err, t.end())
}

func (t *trial) end() error {
	if t.list != nil {
		if err := t.list.end(); err != nil {
			return err
		}
		t.a.talk("%d records judged; %s", t.total, changesText(t.counts))
		return nil
	}
	if t.a.format != formatTable {
		return t.a.document(trialSums{t.total, t.how, t.counts})
	}
	out := t.a.table(text("CHANGE", 1, 20), text("RECORDS", 2, 10))
	out.row("(judged)", t.total)
	out.row("(signatures)", t.how)
	for _, change := range slices.Sorted(maps.Keys(t.counts)) {
		out.row(change, t.counts[change])
	}
	return out.flush()
}

// changesText says how many verdicts change how.
func changesText(counts map[string]int) string {
	if len(counts) == 0 {
		return "nothing changes"
	}
	var parts []string
	for _, change := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", change, counts[change]))
	}
	return strings.Join(parts, ", ")
}

// standing holds the outcome of an answer and whether its record counts. An answer changes when one of them does.
type standing struct {
	outcome string
	counts  bool
}

func standingOf(v verify.Verdict) standing { return standing{v.Outcome.String(), v.Accepted} }

func (s standing) text() string {
	if s.counts {
		return s.outcome + ", counts"
	}
	return s.outcome + ", does not count"
}

func (t *trial) add(seq uint64, rec *pcs.Record, f verify.Facts, was standing, v verify.Verdict) error {
	t.total++
	is := standingOf(v)
	if is == was {
		return nil
	}
	before, after := was.outcome, is.outcome
	if before == after { // of two escalated records one can count and the other not
		before, after = was.text(), is.text()
	}
	t.counts[before+"->"+after]++
	if was.outcome == wire.OutcomeRefused && is.outcome == wire.OutcomeAccepted {
		t.letIn.all++
		switch {
		case rec.Sig == "":
			t.letIn.unsigned++
		case !f.Valid():
			t.letIn.unverified++
		}
	}
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
	f, err := openInput(path)
	if err != nil {
		return usagef("--records: %w", err)
	}
	defer f.Close()
	if t.how = sigsChecked; t.ring == nil {
		t.how = sigsAssumed
		t.a.talk("Signatures are taken as valid, and not checked.")
	}
	defaults, verified := verify.DefaultPolicy(), 0
	err = readJobs(f, "judged", func(j job) error {
		if j.request.Method != http.MethodPost || j.request.Path != client.SubmitPath {
			return nil // a corpus line that is no submission
		}
		rec := pcs.Decode(j.request.Body)
		facts := t.facts(rec, defaults)
		if facts.KeyID != "" {
			verified++
		}
		before := verify.Judge(defaults, rec, facts, 0)
		now := t.facts(rec, t.policy)
		return t.add(0, rec, now, standingOf(before), verify.Judge(t.policy, rec, now, 0))
	})
	switch {
	case err == nil && t.total == 0:
		t.a.talk("0 records: %s holds none", path)
	case t.ring != nil && t.total > 0 && verified == 0:
		t.a.talk("Warning: no record verifies with the keys that were given; are they the right ones?")
	}
	return err
}

// facts checks the signature with the keys that were given. Without any it takes a signature for what the policy wants.
func (t *trial) facts(rec *pcs.Record, p verify.Policy) verify.Facts {
	switch {
	case t.ring != nil:
		return t.ring.Check(rec, verify.Facts{})
	case !rec.HasSig:
		return verify.Facts{}
	}
	f := verify.Facts{
		KeyID:   "not-checked",
		Alg:     verify.HMACSHA256,
		Profile: p.Signature.Profiles.Slice()[0],
		Mode:    verify.Raw,
	}
	if rec.Scheme == pcs.PCS2 {
		f.Profile, f.Mode = pcs.F9, verify.Whole
	}
	if raw, err := base64.StdEncoding.DecodeString(rec.Sig); err == nil && len(raw) == ed25519.SignatureSize {
		f.Alg = verify.Ed25519
	}
	if f.Mode == verify.Raw && (f.Alg == verify.Ed25519 || f.Profile == pcs.Bin) {
		f.Mode = verify.SHA256
	}
	return f
}
