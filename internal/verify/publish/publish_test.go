package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestExamples: the documented policies parse, print and parse again to the same policy.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/policies/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		canonical, err := verify.ParsePolicy(p.Canonical())
		if err != nil || !reflect.DeepEqual(canonical, p) {
			t.Errorf("%s: canonical form: %v", f, err)
		}
		again, err := Parse(Document(p))
		if err != nil || again.ID() != p.ID() {
			t.Errorf("%s: printed and parsed again: %v\n%s", f, err, Document(p))
		}
		if strings.HasSuffix(f, "default.yaml") && p.ID() != verify.DefaultPolicy().ID() {
			t.Errorf("%s is not the default policy", f)
		}
	}
}

// TestCanonicalRules holds the form of rules in the log, for ever.
func TestCanonicalRules(t *testing.T) {
	p, err := Parse([]byte("rules:\n- {when: 'shard_id.startsWith(\"lab-\") && d_hat > nano(\"2.0\")', then: escalate, reason: lab_review}\n" +
		"- {when: '!(epoch in [1, -2]) || key_id in [\"a\\\"\", \"<é>\"] || !degraded', then: refuse, reason: odd}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := `"rules":[{"reason":"lab_review","then":"escalate","when":["and",["starts",["field","shard_id"],["str","lab-"]],["gt",["field","d_hat"],["int","2000000000"]]]},` +
		`{"reason":"odd","then":"refuse","when":["or",["or",["not",["in",["field","epoch"],["ints","1","-2"]]],["in",["field","key_id"],["strs","a\"","\u003cé\u003e"]]],["not",["field","degraded"]]]}]`
	if !strings.Contains(string(p.Canonical()), want) {
		t.Errorf("%s\nwant %s", p.Canonical(), want)
	}
}

// TestProblems: what is refused, where and why.
func TestProblems(t *testing.T) {
	rule := func(when string) string { return "rules:\n- {when: '" + when + "', then: refuse, reason: x}\n" }
	deep := strings.Repeat("degraded && (accepted || (", 20) + "degraded" + strings.Repeat("))", 20)
	for name, c := range map[string]struct{ doc, want string }{
		"unknown member":  {"kernel: 1\nparam: {}\n", "line 2, column 1: param: unknown member"},
		"repeated member": {"kernel: 1\nparams: {tol_d: \"0.1\", tol_d: \"0.2\"}\n", "line 2, column 24: params.tol_d: repeated member"},
		"kernel":          {"kernel: 9\n", `line 1, column 9: kernel: this release has the kernels [1 2], not "9"`},
		"double":          {"params: {tol_d: 1e-2}\n", "line 1, column 17: params.tol_d: must be a plain decimal"},
		"ttl":             {"params: {dedup_ttl: 14}\n", "params.dedup_ttl: must be a span such as 336h"},
		"negative":        {"params: {tol_d: \"-1\"}\n", "a tolerance is negative"},
		"not YAML":        {"kernel: [\n", "not YAML"},
		"only a comment":  {"# nothing\n", "the document is empty"},
		"two documents":   {"kernel: 1\n---\nkernel: 1\n", "a second document"},
		"alias":           {"rules: &r []\n", "anchors and aliases are not allowed"},
		"bomb":            {"params: &a {tol_d: \"0.1\"}\nepochs: *a\n", "anchors and aliases are not allowed"},
		"tag":             {"kernel: !!str 1\n", "tags are not allowed"},
		"bytes":           {"kernel: \xff\n", "not UTF-8"},
		"word":            {"signature: {profiles: [f9, f8]}\n", `line 1, column 28: signature.profiles: unknown word "f8"`},
		"half a rule":     {"rules:\n- {when: degraded, then: refuse}\n", "a rule has when, then and reason"},
		"reason":          {"rules:\n- {when: degraded, then: refuse, reason: d_hat_mismatch}\n", "no reason of a check"},
		"then":            {"rules:\n- {when: degraded, then: accept, reason: x}\n", "neither escalate nor refuse"},
		"field":           {rule("shard == 1"), "line 2, column 11: rules[0].when: undeclared reference to 'shard'"},
		"type":            {rule(`epoch == "1"`), "rules[0].when: found no matching overload"},
		"not a condition": {rule("epoch"), "this is a int, not a condition"},
		"literal double":  {rule("d_hat > 2.0"), "rules[0].when:"},
		"doubles":         {rule("1.0 < 2.0"), "line 2, column 11: rules[0].when: doubles are not part of the rule language"},
		"macro":           {rule(`reasons.exists(r, r == "x")`), "rules[0].when: undeclared reference to"},
		"regex":           {rule(`shard_id.matches("a+")`), "matches is not part of the rule language"},
		"arithmetic":      {rule("epoch + 1 > 2"), "+ is not part of the rule language"},
		"conversion":      {rule(`int(shard_id) > 2`), "int is not part of the rule language"},
		"ternary":         {rule("degraded ? true : false"), "?_: is not part of the rule language"},
		"size":            {rule("size(shard_id) > 2"), "size is not part of the rule language"},
		"contains":        {rule(`shard_id.contains("a")`), "contains is not part of the rule language"},
		"index":           {rule(`reasons[0] == "x"`), "[_] is not part of the rule language"},
		"map":             {rule(`"a" in {"a": 1}`), "maps and messages are not part of the rule language"},
		"bytes literal":   {rule(`b"a" == b"a"`), "bytes"},
		"timestamp":       {rule(`timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")`), "timestamp is not part of the rule language"},
		"nano":            {rule(`d_hat > nano("1e3")`), "nano: pcs: not a plain decimal"},
		"nano of a field": {rule(`d_hat > nano(shard_id)`), "the argument must be a string constant"},
		"time":            {rule(`log_time > time("yesterday")`), "must be an RFC 3339 date-time"},
		"empty list":      {rule("epoch in []"), "an empty list matches nothing"},
		"mixed list":      {rule(`epoch in [1, "a"]`), "rules[0].when:"},
		"list of fields":  {rule("epoch in [seed]"), "a list holds constants only"},
		"deep":            {rule(deep), "levels"},
		"huge":            {rule(strings.Repeat("degraded || ", 1000) + "degraded"), "longer than 8192 bytes"},
		"many rules":      {"rules:\n" + strings.Repeat("- {when: degraded, then: refuse, reason: x}\n", 257), "more than 256 rules"},
		"long text":       {rule(`shard_id == "` + strings.Repeat("a", 300) + `"`), "at most 256 bytes"},
	} {
		_, err := Parse([]byte(c.doc))
		if !errors.Is(err, verify.ErrPolicy) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
	_, err := Parse([]byte("kernel: 7\nparams: {tol_d: x}\nmore: 1\n"))
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d problems reported at once: %v", n, err)
	}
}

// facts are values for every field that a rule can read.
type facts struct {
	rec     *pcs.Record
	f       verify.Facts
	logTime int64
}

// values gives them to CEL.
func (f facts) values(v verify.Verdict, settled verify.Outcome, accepted bool) map[string]any {
	t := f.rec.Tuple(f.f.Profile)
	reasons := []string{}
	for _, r := range v.Reasons {
		reasons = append(reasons, r.String())
	}
	return map[string]any{"pcs_id": f.rec.PCSID, "merkle_root": f.rec.MerkleRoot, "shard_id": f.rec.ShardID, "regime": f.rec.Regime,
		"schema": f.rec.Schema, "version": f.rec.Version, "key_id": f.f.KeyID, "algorithm": f.f.Alg.String(), "epoch": f.rec.Epoch,
		"seed": f.rec.Seed, "d_hat": int64(t.DHat), "coh_star": int64(t.CohStar), "r": int64(t.R), "budget": int64(t.Budget),
		"recomputed_d_hat": int64(v.DHatUpper), "recomputed_d_hat_lower": int64(v.DHatLower), "recomputed_budget": int64(v.Budget),
		"recomputed_regime": v.Regime, "log_time": f.logTime, "scales": int64(len(f.rec.Scales)), "v_star": int64(len(f.rec.VStar)),
		"degraded": f.rec.Degraded, "has_d_hat": v.HasDHat, "escalated": settled == verify.Escalated, "accepted": accepted, "reasons": reasons}
}

// source makes choices from bytes.
type source struct{ b []byte }

func (s *source) pick(n int) int {
	if len(s.b) == 0 {
		return 0
	}
	x := int(s.b[0])
	s.b = s.b[1:]
	return x % n
}

var (
	texts = []string{"pcs_id", "shard_id", "regime", "key_id", "algorithm", "recomputed_regime", "merkle_root"}
	ints  = []string{"epoch", "seed", "d_hat", "coh_star", "r", "budget", "recomputed_d_hat", "recomputed_budget", "log_time", "scales", "v_star"}
	flags = []string{"degraded", "has_d_hat", "escalated", "accepted", "true", "false"}
	words = []string{`"lab-1"`, `"lab-"`, `"1"`, `""`, `"mixed"`, `"sticky"`, `"hmac-sha256"`, `"é\"<"`}
	nums  = []string{"0", "1", "-1", "5", "2000000000", `nano("1.5")`, `time("2026-01-01T00:00:00Z")`, "9223372036854775807"}
)

// condition writes a random condition in CEL.
func (s *source) condition(depth int) string {
	if depth > 5 {
		return flags[s.pick(len(flags))]
	}
	switch s.pick(9) {
	case 0:
		return "(" + s.condition(depth+1) + " && " + s.condition(depth+1) + ")"
	case 1:
		return "(" + s.condition(depth+1) + " || " + s.condition(depth+1) + ")"
	case 2:
		return "!(" + s.condition(depth+1) + ")"
	case 3:
		return s.of(texts, words) + []string{" == ", " != ", " < ", " <= ", " > ", " >= "}[s.pick(6)] + s.of(texts, words)
	case 4:
		return s.of(ints, nums) + []string{" == ", " != ", " < ", " <= ", " > ", " >= "}[s.pick(6)] + s.of(ints, nums)
	case 5:
		return s.of(texts, words) + []string{".startsWith(", ".endsWith("}[s.pick(2)] + s.of(texts, words) + ")"
	case 6:
		return s.of(texts, words) + " in [" + words[s.pick(len(words))] + ", " + words[s.pick(len(words))] + "]"
	case 7:
		return `"d_hat_mismatch" in reasons`
	}
	return flags[s.pick(len(flags))]
}

func (s *source) of(fields, constants []string) string {
	if s.pick(2) == 0 {
		return fields[s.pick(len(fields))]
	}
	return constants[s.pick(len(constants))]
}

func (s *source) facts() facts {
	dhat := []string{"1.0", "1.5", "2.0", "2.9"}[s.pick(4)]
	shard := []string{"lab-1", "lab-", "other", `é\"<`}[s.pick(4)]
	body := fmt.Sprintf(`{"pcs_id":"%s","schema":"fractal-lba-kakeya","version":"0.1","shard_id":"%s","epoch":%d,"attempt":1,`+
		`"sent_at":"2026-01-02T03:04:05Z","seed":%d,"scales":[2,4,8],"N_j":{"2":2,"4":4,"8":8},"coh_star":0.8,"v_star":[1,0,0],"D_hat":%s,"r":0.5,`+
		`"regime":"%s","budget":0.41,"merkle_root":"%s","sig":"","ft":{"outbox_seq":1,"degraded":%v,"fallbacks":[],"clock_skew_ms":0}}`,
		"%PCS%", shard, s.pick(3), s.pick(6), dhat, []string{"mixed", "sticky"}[s.pick(2)], strings.Repeat("a", 64), s.pick(2) == 0)
	rec := pcs.Decode([]byte(strings.Replace(body, "%PCS%", strings.Repeat("0", 64), 1)))
	rec = pcs.Decode([]byte(strings.Replace(body, "%PCS%", pcs.ID(rec.MerkleRoot, rec.Epoch, rec.ShardID), 1)))
	return facts{rec, verify.Facts{KeyID: "hmac-1", Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw}, int64(s.pick(3)) * 1_767_225_600_000_000_000}
}

// same holds our evaluator against CEL's own.
func same(t *testing.T, b []byte) (matched bool) {
	t.Helper()
	s := &source{b}
	text, f := s.condition(0), s.facts()
	p, err := Parse([]byte("rules:\n- {when: '" + strings.ReplaceAll(text, "'", "''") + "', then: escalate, reason: x}\n"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	plain := verify.Judge(verify.DefaultPolicy(), f.rec, f.f, f.logTime)
	if plain.Outcome == verify.Refused {
		t.Fatalf("the record is refused: %s", plain.Evidence)
	}
	got := verify.Judge(p, f.rec, f.f, f.logTime).RuleReason == "x"
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	checked, issues := env.Compile(constants(text))
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(checked)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := program.Eval(f.values(plain, plain.Outcome, plain.Accepted))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if want.Value() != got {
		t.Fatalf("%s: ours %v, CEL's %v", text, got, want.Value())
	}
	printed := p.Rules[0].When.String()
	again, spots := compile(printed)
	if len(spots) > 0 || again.String() != printed {
		t.Fatalf("%s prints as %s, which reads as %s %v", text, printed, again, spots)
	}
	return got
}

// constants writes our functions out, which CEL's evaluator does not have.
func constants(text string) string {
	return strings.NewReplacer(`nano("1.5")`, "1500000000", `time("2026-01-01T00:00:00Z")`, "1767225600000000000").Replace(text)
}

// TestRules compares 5,000 random conditions.
func TestRules(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	matched := 0
	for range 5000 {
		b := make([]byte, 64)
		for i := 0; i < len(b); i += 8 {
			binary.BigEndian.PutUint64(b[i:], rng.Uint64())
		}
		if same(t, b) {
			matched++
		}
	}
	if matched < 1000 || matched > 4000 {
		t.Errorf("%d of 5000 matched; the comparison says little", matched)
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) { same(t, b) })
}

// FuzzParse: any document is refused or gives a policy that prints and parses to itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"kernel: 1\n", "rules:\n- {when: degraded, then: refuse, reason: x}\n", "params: {tol_d: \"0.1\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if again, err := Parse(Document(p)); err != nil || again.ID() != p.ID() {
			t.Fatalf("%v\n%s", err, Document(p))
		}
	})
}
