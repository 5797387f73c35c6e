package projections

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

var update = flag.Bool("update", false, "write the golden files of the scenarios")

// TestScenarios plays testdata/scenarios/*.txt and compares what the ledger says with the golden file beside it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(script))
			golden := strings.TrimSuffix(file, ".txt") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s:\n%s\nwant:\n%s", file, got, want)
			}
		})
	}
}

// play runs one script. Lines are comments (#), "policy regression=... window=...", "apply" likewise for later records, "wait DURATION", "send NAME member=value ...",
// "rule escalate|refuse REASON MEMBER NUMBER" before the first record, "shard ID", "lookup NAME", "freeze all|shard ID|key NAME", "thaw" likewise, "terms KEY [shards=...]", "retire KEY" and
// "revoke KEY"; the answer to each follows it, indented.
func play(t *testing.T, script string) string {
	var out strings.Builder
	policy := verify.DefaultPolicy()
	var l *ledger
	named := map[string]spec{}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		fmt.Fprintln(&out, line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if words[0] == "policy" {
			setEpochs(&policy, words[1:])
			continue
		}
		if words[0] == "rule" {
			policy.Rules = append(policy.Rules, ruleOf(t, words))
			continue
		}
		if l == nil {
			l = newLedger(t, policy, "one", "two")
		}
		switch words[0] {
		case "freeze", "thaw", "terms", "retire", "revoke":
			l.operate(words)
		case "apply":
			setEpochs(&policy, words[1:])
			l.message(event.PolicyApplied, &event.PolicyAppliedV1{Policy: l.publish(policy), Op: &event.OpV1{}})
		case "wait":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(err)
			}
			l.now += int64(d)
		case "send":
			fmt.Fprintf(&out, "  %s\n", describe(l, sendLine(t, l, named, words[1], words[2:])))
		case "shard":
			w, err := Shard(l.db, words[1])
			if err != nil {
				fmt.Fprintf(&out, "  %v\n", err)
				continue
			}
			fmt.Fprintf(&out, "  epoch=%d(%v) root=%.4s accepted=%d escalated=%d refused=%d conflicts=%d replays=%d events %d to %d\n",
				w.Epoch, w.HasEpoch, w.Root, w.Accepted, w.Escalated, w.Refused, w.Conflicts, w.Replays, w.FirstSeq, w.LastSeq)
		case "lookup":
			f, err := Lookup(l.db, idOf(named[words[1]]))
			if errors.Is(err, ErrNotFound) {
				fmt.Fprintln(&out, "  not found")
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "  first %d stands %d events %v\n", f.First.Seq, f.Current.Seq, f.Seqs)
		default:
			t.Fatalf("unknown command %q", words[0])
		}
	}
	return out.String()
}

// setEpochs sets the rules about epochs that a script names.
func setEpochs(p *verify.Policy, words []string) {
	for _, w := range words {
		if name, value, _ := strings.Cut(w, "="); name == "window" {
			n, _ := strconv.Atoi(value)
			p.Epochs.LateWindow = int64(n)
		} else {
			p.Epochs.OnRegression = value
		}
	}
}

// ruleOf is a rule of a script: what happens to a record, the reason, and the member and number that match it.
func ruleOf(t *testing.T, words []string) verify.Rule {
	t.Helper()
	if len(words) != 5 {
		t.Fatalf("a rule is no %q", words)
	}
	n, err := strconv.ParseInt(words[4], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	is := verify.Expr{Op: "eq", Args: []verify.Expr{{Op: "field", Name: words[3]}, {Op: "int", Int: n}}}
	return verify.Rule{Then: words[1], Reason: words[2], When: is}
}

// operate does an operation of a script.
func (l *ledger) operate(words []string) {
	subject := words[len(words)-1]
	scope := uint32(slices.Index([]string{"all", "shard", "key"}, words[1]))
	switch words[1] {
	case "all":
		subject = ""
	case "key":
		subject = mustHMAC(words[2]).ID
	}
	switch key := mustHMAC(words[1]); words[0] {
	case "freeze":
		l.message(event.Frozen, &event.FrozenV1{Scope: scope, Subject: subject})
	case "thaw":
		l.message(event.Thawed, &event.ThawedV1{Scope: scope, Subject: subject})
	case "retire":
		l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: key.ID})
	case "revoke":
		l.message(event.KeyRevoked, &event.KeyRevokedV1{KeyId: key.ID, Since: l.now})
	case "terms":
		m := keyAdded(key)
		m.Op = &event.OpV1{}
		if len(words) > 2 {
			m.Scope = strings.Split(strings.TrimPrefix(words[2], "shards="), ",")
		}
		l.message(event.KeyAdded, m)
	}
}

// sendLine builds a record from the members; a name used before starts from the record sent then.
func sendLine(t *testing.T, l *ledger, named map[string]spec, name string, members []string) Result {
	s, known := named[name]
	if !known {
		s = spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2, attempt: 1, seed: 1}
	}
	key, forged := "one", false
	for _, m := range members {
		k, v, _ := strings.Cut(m, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "shard":
			s.shard = v
		case "root":
			s.root = v
		case "epoch":
			s.epoch = int64(n)
		case "d":
			s.dhat = v
		case "slope":
			s.slope = n
		case "attempt":
			s.attempt = n
		case "seed":
			s.seed = n
		case "key":
			key = v
		case "degraded":
			s.degraded = true
		case "fault":
			s.fault = true
		case "wrong-id":
			s.wrongID = true
		case "forged":
			forged = true
		default:
			t.Fatalf("unknown member %q", m)
		}
	}
	named[name] = s
	if forged {
		clean := s
		clean.fault, clean.wrongID = false, false
		named[name] = clean
		return l.send(s.body("nobody's"))
	}
	return l.send(s.body(key))
}

func describe(l *ledger, r Result) string {
	text := fmt.Sprintf("#%d %d %s accepted=%v %s %v", r.Seq, r.status(), r.Outcome, r.Accepted, r.ReasonCode(), r.ReasonCodes())
	if r.HasDHat {
		text += fmt.Sprintf(" D=%s", r.DHat.Fixed())
	}
	if r.HasBudget {
		text += fmt.Sprintf(" budget=%s", r.Budget.Fixed())
	}
	text += fmt.Sprintf(" first=%d judged=%d", r.FirstSeq, r.JudgedSeq)
	for _, f := range []struct {
		on   bool
		name string
	}{{r.Replayed, "replayed"}, {r.Evidence, "evidence"}, {r.Reverified, "reverified"}, {r.Occupied, "occupies"},
		{r.MovedMark, "moves-mark"}, {r.Registered, "registers"}, {r.FactsMismatch, "facts-mismatch"}, {r.KeyID == "", "unsigned"}} {
		if f.on {
			text += " " + f.name
		}
	}
	if r.AgainSeq != 0 {
		text += fmt.Sprintf(" again=%d", r.AgainSeq)
	}
	if r.First != nil {
		text += fmt.Sprintf(" stands: #%d %d %s", r.First.Seq, r.First.status(), r.First.ReasonCode())
	}
	_, d := l.gen.Digest()
	return text + fmt.Sprintf(" digest=%.8x", d)
}

// status is the HTTP status with which a node answers r.
func (r *Result) status() int { return wire.StatusOf(r.Outcome.String(), r.Reason.String()) }
