package publish

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// facts are values for every field that a rule can read.
type facts struct {
	rec     *pcs.Record
	f       verify.Facts
	logTime int64
}

// values gives them to CEL, v is the verdict without rules.
func (f facts) values(v verify.Verdict) map[string]any {
	profile, algorithm := pcs.F9, ""
	if f.f.Valid() {
		profile, algorithm = f.f.Profile, f.f.Alg.String()
	}
	t := f.rec.Tuple(profile)
	reasons := []string{}
	for _, r := range v.Reasons {
		reasons = append(reasons, r.String())
	}
	return map[string]any{"pcs_id": f.rec.PCSID, "merkle_root": f.rec.MerkleRoot, "shard_id": f.rec.ShardID, "regime": f.rec.Regime,
		"schema": f.rec.Schema, "version": f.rec.Version, "key_id": f.f.KeyID, "algorithm": algorithm, "epoch": f.rec.Epoch,
		"seed": f.rec.Seed, "d_hat": int64(t.DHat), "coh_star": int64(t.CohStar), "r": int64(t.R), "budget": int64(t.Budget),
		"recomputed_d_hat": int64(v.DHatUpper), "recomputed_d_hat_lower": int64(v.DHatLower), "recomputed_budget": int64(v.Budget),
		"recomputed_regime": v.Regime, "log_time": f.logTime, "scales": int64(len(f.rec.Scales)), "v_star": int64(len(f.rec.VStar)),
		"degraded": f.rec.Degraded, "has_d_hat": v.HasDHat, "escalated": v.Outcome == verify.Escalated, "accepted": v.Accepted, "reasons": reasons}
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

func one[T any](s *source, of []T) T { return of[s.pick(len(of))] }

var (
	texts = []string{"pcs_id", "merkle_root", "shard_id", "regime", "schema", "version", "key_id", "algorithm", "recomputed_regime"}
	ints  = []string{"epoch", "seed", "d_hat", "coh_star", "r", "budget", "recomputed_d_hat", "recomputed_d_hat_lower", "recomputed_budget", "log_time",
		"scales", "v_star"}
	flags = []string{"degraded", "has_d_hat", "escalated", "accepted", "true", "false"}
	words = []string{`"lab-1"`, `"lab-"`, `"1"`, `""`, `"mixed"`, `"sticky"`, `"hmac-sha256"`, `"ed-1"`, `"é\"<"`, `"\u2028\\"`, `"\u0000"`, `"it's"`,
		`"` + strings.Repeat("a", 64) + `"`, `"0.1"`, `"d_hat_mismatch"`}
	nums = []string{"0", "1", "-1", "3", "5", "500000000", "1000000000", "2000000000", `nano("1.5")`, `nano("-0.000000001")`, `time("2026-01-01T00:00:00Z")`,
		"9223372036854775807", "-9223372036854775808"}
	orders = []string{" == ", " != ", " < ", " <= ", " > ", " >= "}
)

// constants writes our functions out, which CEL's evaluator does not have.
var constants = strings.NewReplacer(`nano("1.5")`, "1500000000", `nano("-0.000000001")`, "-1", `time("2026-01-01T00:00:00Z")`, "1767225600000000000")

// condition writes a random condition in CEL.
func (s *source) condition(depth int) string {
	if depth > 5 {
		return one(s, flags)
	}
	switch s.pick(12) {
	case 0:
		return "(" + s.condition(depth+1) + " && " + s.condition(depth+1) + ")"
	case 1:
		return s.condition(depth+1) + " || " + s.condition(depth+1)
	case 2:
		return "!(" + s.condition(depth+1) + ")"
	case 3:
		return s.of(texts, words) + one(s, orders) + s.of(texts, words)
	case 4, 5:
		return s.of(ints, nums) + one(s, orders) + s.of(ints, nums)
	case 6:
		return s.of(texts, words) + one(s, []string{".startsWith(", ".endsWith("}) + s.of(texts, words) + ")"
	case 7:
		return s.of(texts, words) + " in [" + one(s, words) + ", " + one(s, words) + "]"
	case 8:
		return s.of(ints, nums) + " in [" + one(s, nums) + ", " + one(s, nums) + ", " + one(s, nums) + "]"
	case 9:
		return one(s, []string{`"d_hat_mismatch"`, `"d_hat_unverifiable"`, `"regime_mismatch"`, "shard_id"}) + " in reasons"
	case 10:
		return "(" + s.condition(depth+1) + ")" + one(s, orders[:2]) + "(" + s.condition(depth+1) + ")"
	}
	return one(s, flags)
}

func (s *source) of(fields, constants []string) string {
	if s.pick(3) > 0 {
		return one(s, fields)
	}
	return one(s, constants)
}

func (s *source) facts() facts {
	body := fmt.Sprintf(`{"pcs_id":"%%PCS%%","schema":"fractal-lba-kakeya","version":"0.1","shard_id":"%s","epoch":%d,"attempt":1,`+
		`"sent_at":"2026-01-02T03:04:05Z","seed":%d,"scales":%s,"N_j":{"2":2,"4":5,"8":7},"coh_star":%s,"v_star":%s,"D_hat":%s,"r":0.5,`+
		`"regime":"%s","budget":%s,"merkle_root":"%s","sig":"","ft":{"outbox_seq":1,"degraded":%v,"fallbacks":[],"clock_skew_ms":0}}`,
		one(s, []string{"lab-1", "lab-", "other", `é\"<`, `\u2028\\`, "it's", "d_hat_mismatch"}), s.pick(3), s.pick(6),
		one(s, []string{"[2,4,8]", "[2,4]", "[2]", "[2,4,16]", "[4,8]"}), one(s, []string{"0.8", "1.5", "-0.1"}), one(s, []string{"[1,0,0]", "[1]"}),
		one(s, []string{"0.9", "1.0", "1.5", "2.0", "2.9"}), one(s, []string{"mixed", "sticky"}), one(s, []string{"0.41", "0.5", "1.0"}),
		strings.Repeat("a", 64), s.pick(2) == 0)
	rec := pcs.Decode([]byte(strings.Replace(body, "%PCS%", strings.Repeat("0", 64), 1)))
	rec = pcs.Decode([]byte(strings.Replace(body, "%PCS%", pcs.ID(rec.MerkleRoot, rec.Epoch, rec.ShardID), 1)))
	signed := one(s, []verify.Facts{{KeyID: "hmac-1", Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw},
		{KeyID: "ed-1", Alg: verify.Ed25519, Profile: pcs.Py, Mode: verify.SHA256}, {}})
	return facts{rec, signed, int64(s.pick(3)) * 1_767_225_600_000_000_000}
}

// same holds our evaluator against CEL's own, for one condition over the records of several sources.
func same(t *testing.T, text string, sources ...*source) (matched int) {
	t.Helper()
	p, err := Parse([]byte("signature: {required: false}\nrules:\n- {when: '" + strings.ReplaceAll(text, "'", "''") + "', then: escalate, reason: x}\n"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if again, err := Parse(Document(p)); err != nil || again.ID() != p.ID() {
		t.Fatalf("%s printed and read again: %v\n%s", text, err, Document(p))
	}
	if again, err := verify.ParsePolicy(p.Canonical()); err != nil || again.ID() != p.ID() {
		t.Fatalf("%s: canonical form: %v\n%s", text, err, p.Canonical())
	}
	program := celProgram(t, text)
	bare := p
	bare.Rules = nil
	for _, s := range sources {
		f := s.facts()
		plain := verify.Evaluate(bare, f.rec, f.f, f.logTime)
		if plain.Outcome == verify.Refused {
			t.Fatalf("the record is refused: %s", plain.Evidence)
		}
		got := verify.Evaluate(p, f.rec, f.f, f.logTime).RuleReason == "x"
		want, _, err := program.Eval(f.values(plain))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want.Value() != got {
			t.Fatalf("%s: ours %v, CEL's %v of %v", text, got, want.Value(), f.values(plain))
		}
		if got {
			matched++
		}
	}
	return matched
}

func celProgram(t *testing.T, text string) cel.Program {
	t.Helper()
	env, err := ruleLanguage.env()
	if err != nil {
		t.Fatal(err)
	}
	checked, issues := env.Compile(constants.Replace(text))
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(checked)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestRules compares 20,000 random pairs of a condition and a record.
func TestRules(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	random := func() *source {
		b := make([]byte, 64)
		for i := 0; i < len(b); i += 8 {
			binary.BigEndian.PutUint64(b[i:], rng.Uint64())
		}
		return &source{b}
	}
	const conditions, records = 4000, 5
	matched := 0
	for range conditions {
		text := random().condition(0)
		matched += same(t, text, random(), random(), random(), random(), random())
	}
	if matched < conditions*records/5 || matched > conditions*records*4/5 {
		t.Errorf("%d of %d matched; the comparison says little", matched, conditions*records)
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{10, 8, 2, 1, 9, 9, 9, 1, 7, 3, 1, 2, 3, 4, 5, 6, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &source{b}
		same(t, s.condition(0), s)
	})
}

// TestOffsetOfADay: an offset has at most 23 hours; package time reads more.
func TestOffsetOfADay(t *testing.T) {
	for text, good := range map[string]bool{"2026-01-01T00:00:00+23:59": true, "2026-01-01T00:00:00+24:00": false, "2026-01-01T00:00:00-24:00": false} {
		if _, err := parseTime(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
