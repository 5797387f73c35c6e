package verify

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// Short forms of expressions.
func op(name string, args ...Expr) Expr { return Expr{Op: name, Args: args} }
func fld(name string) Expr              { return Expr{Op: "field", Name: name} }
func str(s string) Expr                 { return Expr{Op: "str", Name: s} }
func num(n int64) Expr                  { return Expr{Op: "int", Int: n} }
func strs(s ...string) Expr             { return Expr{Op: "strs", Strings: s} }
func nums(n ...int64) Expr              { return Expr{Op: "ints", Ints: n} }

var always, never = Expr{Op: "bool", Int: 1}, Expr{Op: "bool"}

// ruled is the default policy with rules.
func ruled(t testing.TB, rules ...Rule) Policy {
	t.Helper()
	p := DefaultPolicy()
	p.Rules = rules
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRuleVerdicts(t *testing.T) {
	t.Parallel()
	good, wrong := goodRecord(t, nil), goodRecord(t, map[string]string{"D_hat": "1.300000000", "regime": `"mixed"`})
	first, second := Rule{"first", RuleEscalate, op("eq", fld("epoch"), num(7))}, Rule{"second", RuleRefuse, op("starts", fld("shard_id"), str("shard-"))}
	plainGood, plainWrong := Evaluate(DefaultPolicy(), good, someFacts, 0), Evaluate(DefaultPolicy(), wrong, someFacts, 0)
	escalated := plainGood
	escalated.Outcome, escalated.Reason, escalated.Reasons = Escalated, ReasonRule, []Reason{ReasonRule}
	escalated.RuleReason, escalated.Evidence = "first", "rule 1 of the policy: first"
	both := plainWrong
	both.RuleReason, both.Reasons = "first", append(slices.Clone(plainWrong.Reasons), ReasonRule)
	refused := Verdict{Outcome: Refused, Reason: ReasonRule, Reasons: []Reason{ReasonRule}, RuleReason: "second"}
	refused.Evidence = "rule 1 of the policy: second"
	later := refused
	later.Evidence = "rule 3 of the policy: second"
	for _, c := range []struct {
		name  string
		rec   *pcs.Record
		rules []Rule
		want  Verdict
	}{
		{"none matches", good, []Rule{{"x", RuleRefuse, never}, {"y", RuleEscalate, op("lt", fld("epoch"), num(7))}}, plainGood},
		{"escalate what passed", good, []Rule{first}, escalated},
		{"escalate what failed", wrong, []Rule{first}, both},
		{"refuse what passed", good, []Rule{second}, refused},
		{"refuse what failed", wrong, []Rule{second}, refused},
		{"the first match counts", good, []Rule{first, second}, escalated},
		{"in order", good, []Rule{second, first}, refused},
		{"numbered from 1", good, []Rule{{"x", RuleRefuse, never}, {"y", RuleRefuse, never}, second}, later},
	} {
		if got := Evaluate(ruled(t, c.rules...), c.rec, someFacts, 0); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v\nwant %+v", c.name, got, c.want)
		}
	}
	if !escalated.Accepted || both.Accepted || both.Reason != ReasonDHatMismatch || both.Evidence != plainWrong.Evidence {
		t.Errorf("what the test expects is wrong: %+v %+v", escalated, both)
	}
	if v := Evaluate(ruled(t, Rule{"x", RuleEscalate, always}), good, Facts{}, 0); v.Reason != ReasonBadSignature || v.RuleReason != "" {
		t.Errorf("a rule judged what is refused: %+v", v)
	}
}

// TestRuleFaults: a tree that nobody checked gives kernel_fault, never a wrong answer.
func TestRuleFaults(t *testing.T) {
	t.Parallel()
	for _, when := range []Expr{op("starts", fld("shard_id"), str("shard-")), op("eq", fld("epoch"), num(7)), fld("degraded"), op("and", always), op("not"),
		op("what", always, always), op("eq", Expr{Op: "field", Name: "oops"}, num(1))} {
		p := DefaultPolicy()
		p.Rules = []Rule{{"x", RuleRefuse, when}}
		if v := Evaluate(p, goodRecord(t, nil), someFacts, 0); v.Outcome != Escalated || v.Reason != ReasonKernelFault || v.Accepted || v.RuleReason != "" {
			t.Errorf("%+v: %+v", when, v)
		}
	}
}

// fieldValues holds each field that rules read, with its value in goodRecord and another value.
var fieldValues = map[string]struct{ is, other Expr }{
	"merkle_root": {str(strings.Repeat("ab", 32)), str("")}, "shard_id": {str("shard-001"), str("shard-002")}, "regime": {str("sticky"), str("mixed")},
	"schema": {str("fractal-lba-kakeya"), str("")}, "version": {str("0.1"), str("0.2")}, "key_id": {str("hmac-0000000000000000"), str("")},
	"algorithm": {str("hmac-sha256"), str("ed25519")}, "epoch": {num(7), num(8)}, "seed": {num(42), num(7)}, "d_hat": {num(1_100_000_000), num(1_000_000_000)},
	"coh_star": {num(800_000_000), num(0)}, "r": {num(500_000_000), num(0)}, "budget": {num(415_000_000), num(410_000_000)},
	"recomputed_d_hat": {num(1_000_000_000), num(1_100_000_000)}, "recomputed_d_hat_lower": {num(968_963_532), num(1_000_000_000)},
	"recomputed_budget": {num(410_000_000), num(415_000_000)}, "recomputed_regime": {str("sticky"), str("mixed")}, "log_time": {num(1234), num(0)},
	"scales": {num(4), num(3)}, "v_star": {num(3), num(4)}, "degraded": {always, never}, "has_d_hat": {always, never}, "escalated": {always, never},
	"accepted": {always, never},
}

func TestFields(t *testing.T) {
	t.Parallel()
	rec := goodRecord(t, map[string]string{"D_hat": "1.100000000", "budget": "0.415000000", "scales": "[2,4,8,16]", "N_j": `{"2":2,"4":4,"8":8,"16":15}`,
		"ft": `{"outbox_seq":1,"degraded":true,"fallbacks":[],"clock_skew_ms":0}`})
	matches := func(when Expr) bool {
		return Evaluate(ruled(t, Rule{"x", RuleEscalate, when}), rec, someFacts, 1234).RuleReason == "x"
	}
	seen := 0
	Fields(func(name string, typ Type) {
		seen++
		v, known := fieldValues[name]
		if name == "pcs_id" {
			v, known = struct{ is, other Expr }{str(rec.PCSID), str("")}, true
		}
		if name == "reasons" {
			if !matches(op("in", str("degraded"), fld("reasons"))) || matches(op("in", str("d_hat_mismatch"), fld("reasons"))) {
				t.Error("reasons")
			}
			return
		}
		if typ, err := v.is.Check(); !known || err != nil {
			t.Fatalf("%s: no value of type %s: %v", name, typ, err)
		}
		if !matches(op("eq", fld(name), v.is)) || matches(op("eq", fld(name), v.other)) || !matches(op("ne", fld(name), v.other)) {
			t.Errorf("%s (%s) is not %v", name, typ, v.is)
		}
	})
	if seen != 26 {
		t.Errorf("%d fields", seen)
	}
	optional := ruled(t, Rule{"x", RuleEscalate, op("and", op("eq", fld("key_id"), str("")), op("eq", fld("algorithm"), str("")))})
	optional.Signature.Required = false
	if v := Evaluate(optional, rec, Facts{}, 0); v.RuleReason != "x" {
		t.Errorf("unsigned: %+v", v)
	}
}

func TestOperators(t *testing.T) {
	t.Parallel()
	rec := goodRecord(t, nil)
	for _, c := range []struct {
		e    Expr
		text string
		want bool
	}{
		{op("and", always, never), "true && false", false}, {op("or", never, always), "false || true", true}, {op("not", never), "!(false)", true},
		{op("not", op("or", never, op("and", always, always))), "!(false || (true && true))", false},
		{op("eq", op("eq", num(1), num(2)), never), "(1 == 2) == false", true}, {op("ne", always, always), "true != true", false},
		{op("lt", num(-1), num(0)), "-1 < 0", true}, {op("le", num(0), num(0)), "0 <= 0", true}, {op("gt", num(0), num(0)), "0 > 0", false},
		{op("ge", num(-9223372036854775808), num(0)), "-9223372036854775808 >= 0", false}, {op("lt", str("B"), str("a")), `"B" < "a"`, true},
		{op("gt", str("é"), str("z")), `"é" > "z"`, true}, {op("in", fld("epoch"), nums(1, -7)), "epoch in [1, -7]", false},
		{op("in", fld("epoch"), nums(1, 7)), "epoch in [1, 7]", true}, {op("in", str("a"), strs("b", "a")), `"a" in ["b", "a"]`, true},
		{op("starts", fld("shard_id"), str("shard-")), `shard_id.startsWith("shard-")`, true}, {op("ends", str(""), str("1")), `"".endsWith("1")`, false},
		{op("eq", str("\x00\n\"\\\u0085\u2028\ufeff\U000e0001é😀"), str("<&>")), `"\u0000\u000a\"\\\u0085\u2028\ufeff\U000e0001é😀" == "<&>"`, false},
	} {
		if got := Evaluate(ruled(t, Rule{"x", RuleEscalate, c.e}), rec, someFacts, 0).RuleReason == "x"; got != c.want || c.e.String() != c.text {
			t.Errorf("%s: %v, want %s: %v", c.e, got, c.text, c.want)
		}
	}
}

// nested is a condition of that many levels.
func nested(levels int) Expr {
	e := always
	for range levels - 1 {
		e = op("not", e)
	}
	return e
}

func TestRuleBounds(t *testing.T) {
	t.Parallel()
	many := func(n int, when Expr) (rules []Rule) {
		for range n {
			rules = append(rules, Rule{"x", RuleRefuse, when})
		}
		return rules
	}
	when := func(e Expr) []Rule { return many(1, e) }
	text, list := strings.Repeat("é", 128), make([]int64, MaxRuleList)
	sixteen := op("eq", op("eq", op("eq", always, always), op("eq", always, always)), op("eq", op("eq", always, always), op("eq", always, never)))
	sixteen = op("not", sixteen) // 15 nodes and one
	for _, c := range []struct {
		name  string
		rules []Rule
		want  string // "" for accepted
	}{
		{"rules", many(MaxRules, always), ""}, {"a rule more", many(MaxRules+1, always), "more than 256"},
		{"levels", when(nested(MaxRuleDepth)), ""}, {"a level more", when(nested(MaxRuleDepth + 1)), "more than 32 levels"},
		{"nodes", many(MaxRuleNodes/16, sixteen), ""}, {"a node more", append(many(MaxRuleNodes/16-1, sixteen), many(1, op("not", sixteen))...), "4096 nodes"},
		{"text", when(op("eq", str(text), str(""))), ""}, {"a byte more", when(op("eq", str(text+"a"), str(""))), "at most 256 bytes"},
		{"text in a list", when(op("in", str(""), strs("", text+"a"))), "at most 256 bytes"}, {"not UTF-8", when(op("eq", str("\xff"), str(""))), "UTF-8"},
		{"list", when(op("in", num(1), nums(list...))), ""}, {"an element more", when(op("in", num(1), nums(append(list, 1)...))), "1 to 1024 elements"},
		{"no element", when(op("in", num(1), nums())), "1 to 1024 elements"}, {"a number", when(num(1)), "it is a int, not a condition"},
		{"order of conditions", when(op("lt", always, never)), "< does not take bool and bool"}, {"lists", when(op("eq", nums(1), nums(1))), "does not take"},
		{"unlike types", when(op("eq", fld("epoch"), fld("shard_id"))), "== does not take int and string"}, {"three", when(op("and", always, always, always)), "does not take"},
		{"and", when(op("and", always, num(1))), "&& does not take bool and int"}, {"or", when(op("or", str("a"), never)), "|| does not take string and bool"},
		{"not", when(op("not", num(1))), "! does not take int"}, {"in", when(op("in", num(1), strs("1"))), "in does not take int and list of strings"},
		{"in text", when(op("in", str("a"), str("abc"))), "in does not take string and string"}, {"flag in", when(op("in", always, nums(1))), "in does not take"},
		{"starts", when(op("starts", num(1), num(1))), "startsWith does not take int and int"}, {"ends", when(op("ends", str("a"), strs("a"))), "endsWith does not take"},
		{"unknown field", when(fld("attempt")), `there is no field "attempt"`}, {"unknown operator", when(op("plus", num(1), num(1))), `unknown operator "plus"`},
		{"then", []Rule{{"x", "accept", always}}, "neither escalate nor refuse"}, {"no condition", []Rule{{Reason: "x", Then: RuleRefuse}}, "unknown operator"},
	} {
		p := DefaultPolicy()
		p.Rules = c.rules
		_, parsed := ParsePolicy(p.Canonical())
		if err := p.Validate(); c.want == "" && (err != nil || parsed != nil) {
			t.Errorf("%s: %v, parsed %v", c.name, err, parsed)
		} else if c.want != "" && (!errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), c.want) || !errors.Is(parsed, ErrPolicy)) {
			t.Errorf("%s: %v, parsed %v, want %q", c.name, err, parsed, c.want)
		}
	}
	for word, want := range map[string]bool{"x": true, "lab_review2": true, strings.Repeat("a", 48): true, strings.Repeat("a", 49): false, "": false, "2x": false,
		"_x": false, "X": false, "é": false, "a-b": false, "rule": false, "ok": false, "kernel_fault": false} {
		if ReasonWord(word) != want {
			t.Errorf("reason %q: %v", word, !want)
		}
	}
}

// TestValidateWhileJudging: a policy that judges may be validated again elsewhere; the race detector looks at it.
func TestValidateWhileJudging(t *testing.T) {
	t.Parallel()
	p, rec := ruled(t, Rule{"x", RuleRefuse, op("eq", fld("epoch"), num(7))}), goodRecord(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := p.Validate(); err != nil || Evaluate(p, rec, someFacts, 0).RuleReason != "x" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// labRules are as many rules that none of the good records matches.
func labRules(n int) (rules []Rule) {
	for range n {
		rules = append(rules, Rule{"lab_review", RuleEscalate, op("and", op("starts", fld("shard_id"), str("shard-")), op("gt", fld("d_hat"), num(2_000_000_000)))})
	}
	return rules
}

// TestRulesAllocateNothing: rules that do not match cost time only.
func TestRulesAllocateNothing(t *testing.T) {
	rec, bare, full := goodRecord(t, nil), DefaultPolicy(), ruled(t, labRules(MaxRules)...)
	without := testing.AllocsPerRun(100, func() { Evaluate(bare, rec, someFacts, 0) })
	if with := testing.AllocsPerRun(100, func() { Evaluate(full, rec, someFacts, 0) }); with > without {
		t.Errorf("%v allocations with rules, %v without", with, without)
	}
}

func BenchmarkJudgeRules(b *testing.B) {
	rec := goodRecord(b, nil)
	for name, n := range map[string]int{"none": 0, "one": 1, "all": MaxRules} {
		p := ruled(b, labRules(n)...)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Evaluate(p, rec, someFacts, 0)
			}
		})
	}
}
