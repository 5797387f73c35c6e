package projections

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// effectWords are the effects as the scripts in testdata/effects name them.
var effectWords = map[string]Effect{"applied": Applied, "repeated": Repeated, "ignored": Ignored}

// TestEffects plays testdata/effects/*.txt. A line is "EFFECT KIND message in text format", with names for bytes
// (see effectNames). "? PART expected" reads a part of the state, "wait DURATION" moves log time, "submit" folds a
// submission, "#" begins a comment.
//
// After every event it holds that an event without effect changes no state, and that the state read back from the
// rows is the folded one.
func TestEffects(t *testing.T) {
	files, err := filepath.Glob("testdata/effects/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	seen := map[event.Kind]map[Effect]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			playEffects(t, string(script), seen)
		})
	}
	for k, row := range kinds {
		got := seen[event.Kind(k)]
		switch {
		case row.decide == nil:
		case event.Kind(k) == event.Genesis:
			if !got[Repeated] {
				t.Error("no script repeats genesis")
			}
		case !got[Applied]:
			t.Errorf("no script applies a %s", event.Kind(k))
		case row.apply != nil && !got[Repeated] && !got[Ignored]:
			t.Errorf("no script has a %s without effect", event.Kind(k))
		}
	}
}

func playEffects(t *testing.T, script string, seen map[event.Kind]map[Effect]bool) {
	l := newLedger(t, verify.DefaultPolicy())
	n := 0
	for line := range strings.Lines(script) {
		n++
		line = strings.TrimSpace(line)
		first, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch first {
		case "", "#":
		case "wait":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			l.now += int64(d)
		case "submit":
			l.send(spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}.body("unknown"))
		case "?":
			part, want, _ := strings.Cut(rest, " ")
			if got := l.controlText(t, part); got != strings.TrimSpace(want) {
				t.Errorf("line %d: %s are %s, want %s", n, part, got, want)
			}
		default:
			want, ok := effectWords[first]
			if !ok {
				t.Fatalf("line %d: unknown word %q", n, first)
			}
			k, got := l.playEvent(t, n, rest)
			if got != want {
				t.Errorf("line %d, event %d: %s has effect %d, want %s", n, l.seq, k, got, first)
			}
			if seen[k] == nil {
				seen[k] = map[Effect]bool{}
			}
			seen[k][got] = true
		}
	}
}

// playEvent folds one event of a script and returns its kind and effect.
func (l *ledger) playEvent(t *testing.T, n int, text string) (event.Kind, Effect) {
	t.Helper()
	name, fields, _ := strings.Cut(text, " ")
	k := event.KindNamed(name)
	if k == 0 {
		t.Fatalf("line %d: unknown kind %q", n, name)
	}
	m := k.NewMessage()
	names := append(slices.Clone(effectNames()), "$seq", fmt.Sprint(l.seq+1))
	if err := prototext.Unmarshal([]byte(strings.NewReplacer(names...).Replace(fields)), m); err != nil {
		t.Fatalf("line %d: %v", n, err)
	}
	before := l.loaded(t)
	l.message(k, m)
	effect, after := effectOfLast(t, l, k), l.loaded(t)
	if !reflect.DeepEqual(stateOf(after), stateOf(l.ctrl)) {
		t.Errorf("line %d: read back %+v\nfolded %+v", n, stateOf(after), stateOf(l.ctrl))
	}
	if effect != Applied && !reflect.DeepEqual(stateOf(after), stateOf(before)) {
		t.Errorf("line %d: a %s without effect changed the state", n, k)
	}
	if effect == Applied && kinds[k].apply != nil && reflect.DeepEqual(stateOf(after), stateOf(before)) {
		t.Errorf("line %d: a %s was applied and changed nothing", n, k)
	}
	return k, effect
}

func (l *ledger) loaded(t *testing.T) *Control {
	t.Helper()
	c, err := LoadControl(l.ctrlDB)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// controlState holds what events change. Digest and position, which every event changes, are not part of it.
type controlState struct {
	genesis *GenesisRow
	invited invitations
	sched   schedules
	reg     registry
	creds   credentials

	restored []RestoredRow
	version  uint32
}

// stateOf returns the state of c. The indexes of Raft entries are left out: rows do not have them.
func stateOf(c *Control) controlState {
	s := controlState{genesis: c.genesis, sched: c.sched, reg: c.reg, creds: c.creds, restored: c.restored,
		version: c.version, invited: c.invited}
	s.sched.activations = slices.Clone(c.sched.activations)
	for i := range s.sched.activations {
		s.sched.activations[i].Index = 0
	}
	if len(s.reg.held) == 0 {
		s.reg.held = nil
	}
	return s
}

// secondPolicy differs from the default policy.
func secondPolicy() verify.Policy {
	p := verify.DefaultPolicy()
	p.Epochs.LateWindow = 7
	return p
}

// effectNames are the words of scripts and the text that replaces them, in pairs.
func effectNames() []string {
	quoted := func(b []byte) string {
		var s strings.Builder
		for _, c := range b {
			fmt.Fprintf(&s, `\x%02x`, c)
		}
		return `"` + s.String() + `"`
	}
	one, two, ed := mustHMAC("one"), mustHMAC("two"), edKey()
	first, second := verify.DefaultPolicy(), secondPolicy()
	firstID, secondID := first.ID(), second.ID()
	sha := func(n byte) string { return quoted(append(make([]byte, 31), n)) }
	return []string{
		"$sha1", sha(1), "$sha2", sha(2), "$sha3", sha(3), "$sha4", sha(4), "$sha5", sha(5),
		"$one.print", quoted(one.Fingerprint[:]),
		"$two.print", quoted(two.Fingerprint[:]),
		"$ed.print", quoted(ed.Fingerprint[:]),
		"$ed.public", quoted(ed.Public),
		"$one", fmt.Sprintf("%q", one.ID),
		"$two", fmt.Sprintf("%q", two.ID),
		"$ed", fmt.Sprintf("%q", ed.ID),
		"$first.text", quoted(first.Canonical()),
		"$second.text", quoted(second.Canonical()),
		"$first", quoted(firstID[:]),
		"$second", quoted(secondID[:]),
		"$bytes31", quoted(make([]byte, 31)),
		"$bytes32", quoted(make([]byte, 32)),
		"$text128", `"` + strings.Repeat("x", 128) + `"`,
		"$text64", `"` + strings.Repeat("x", 64) + `"`,
		"$text65", `"` + strings.Repeat("x", 65) + `"`,
		"$text256", `"` + strings.Repeat("x", 256) + `"`,
		"$text129", `"` + strings.Repeat("x", 129) + `"`,
		"$text257", `"` + strings.Repeat("x", 257) + `"`,
	}
}

func edKey() verify.Key {
	k, err := verify.NewEd25519Key(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return k
}

// controlText is a part of the control state in one line, "-" if it is empty.
func (l *ledger) controlText(t *testing.T, part string) string {
	t.Helper()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch part {
	case "version":
		add("%d", l.ctrl.ClusterVersion())
	case "names":
		out = l.ctrl.Names(l.seq)
	case "restored":
		for _, r := range l.ctrl.Restorations(l.seq) {
			add("%s@%d from %s kept %d of %d by %s", r.ClusterID, r.Seq, r.From, r.Kept, r.BackupSeq, r.Op.Actor)
		}
	case "invitations":
		for _, r := range l.ctrl.invited {
			word := string(r.End)
			if r.open(l.now) {
				word = "open"
			}
			add("%s@%d:%s%s", r.Node, r.Seq, word, r.Incarnation)
		}
	case "keys":
		names := map[string]string{mustHMAC("one").ID: "one", mustHMAC("two").ID: "two", edKey().ID: "ed"}
		for _, k := range l.ctrl.Keys(l.seq) {
			text := fmt.Sprintf("%s terms=%d", names[k.ID], k.Terms.Seq)
			if k.Terms.Owner != "" {
				text += " owner=" + k.Terms.Owner
			}
			add("%s%s%s%s%s", text, number("retired", k.Retired), number("secret", k.SecretRetired),
				number("revoked", k.Revoked), number("since", uint64(k.RevokedSince)))
		}
	case "freezes":
		for _, f := range l.ctrl.Freezes(l.seq) {
			until := ""
			if f.Thawed != 0 {
				until = fmt.Sprintf("-%d", f.Thawed)
			}
			add("%d:%s@%d%s", f.Scope, f.Subject, f.Seq, until)
		}
	case "shards":
		for _, s := range l.ctrl.KnownShards(l.seq) {
			add("%s@%d", strings.Join(s.Patterns, " "), s.Seq)
		}
	case "disputed":
		for seq := range l.seq {
			if by := l.ctrl.Disputed(seq); by != 0 {
				add("%d by %d", seq, by)
			}
		}
	case "generations":
		for _, g := range l.ctrl.Generations() {
			out = append(out, generationText(&g))
		}
	case "activations":
		for _, a := range l.ctrl.Activations() {
			text := fmt.Sprintf("%d->%d@%d", a.From, a.Generation, a.Seq)
			if a.Recorded != nil {
				text += number("flips", a.Recorded.Flips)
			}
			if a.Rollback {
				text += " rollback"
			}
			out = append(out, text)
		}
	default:
		out = l.credentialsText(t, part)
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

func (l *ledger) credentialsText(t *testing.T, part string) (out []string) {
	t.Helper()
	switch part {
	case "tokens":
		for _, k := range l.ctrl.Tokens() {
			r, _ := l.ctrl.TokenRevoked(k.ID)
			out = append(out, fmt.Sprintf("%s %s %s%s", k.ID, k.Name, k.Role, number("revoked", r.Seq)))
		}
	case "approvals":
		by := map[string][]string{}
		var order []string
		for _, a := range l.ctrl.PendingApprovals(l.now) {
			if by[a.OpID] == nil {
				order = append(order, a.OpID)
			}
			by[a.OpID] = append(by[a.OpID], a.Op.Actor)
		}
		for _, id := range order {
			out = append(out, id+" by "+strings.Join(by[id], " "))
		}
	case "recent":
		rows, done := l.ctrl.RecentApprovals(l.now)
		for _, a := range rows {
			text := a.OpID + " by " + a.Op.Actor
			if done[a.OpID] {
				text += " done"
			}
			out = append(out, text)
		}
	default:
		t.Fatalf("unknown part %q", part)
	}
	return out
}

func generationText(g *GenerationRow) string {
	names := map[[32]byte]string{verify.DefaultPolicy().ID(): "first", secondPolicy().ID(): "second"}
	text := fmt.Sprintf("%d from", g.Number)
	for _, s := range g.Steps {
		text += fmt.Sprintf(" %d:%s", s.FromSeq, names[s.Policy])
	}
	text += number("keys", uint64(g.Keys))
	for _, seq := range g.Activated {
		text += number("active", seq)
	}
	return text + number("dropped", g.Dropped)
}

// number is " name=n", or nothing for 0.
func number(name string, n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" %s=%d", name, n)
}

// TestKindsHaveRows: every kind but Submission has a row here, whose functions take the message that package event
// decodes for the kind.
func TestKindsHaveRows(t *testing.T) {
	for _, k := range event.Kinds() {
		if k == event.Submission {
			continue
		}
		row, err := rowOf(k)
		if err != nil {
			t.Error(err)
			continue
		}
		o := &operator{kind: k, seq: 5, msg: k.NewMessage()}
		if _, err := row.decide(NewControl(), o); err != nil && strings.Contains(err.Error(), "carries") {
			t.Errorf("%s: %v", k, err)
		}
		o.msg = new(event.PackV1)
		if _, err := row.decide(NewControl(), o); err == nil {
			t.Errorf("%s takes the message of another kind", k)
		}
		if row.apply != nil {
			if err := row.apply(NewControl(), o); err == nil {
				t.Errorf("%s applies the message of another kind", k)
			}
		}
	}
	for _, k := range []event.Kind{0, event.Submission, 20, 300} {
		if _, err := rowOf(k); err == nil {
			t.Errorf("kind %d has a row", k)
		}
	}
}
