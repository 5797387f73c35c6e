package publish

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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

// TestSchemes: a policy that names every scheme is the one that names none.
func TestSchemes(t *testing.T) {
	for list, inForm := range map[string]string{"[pcs/2]": `"schemes":["pcs/2"]`, "[pcs/1]": `"schemes":["pcs/1"]`, "[pcs/2, pcs/1]": ""} {
		p, err := Parse([]byte("signature: {schemes: " + list + "}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if (p.ID() == verify.DefaultPolicy().ID()) != (inForm == "") || !strings.Contains(string(p.Canonical()), inForm) {
			t.Errorf("%s: %s", list, p.Canonical())
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

// problems are documents with what is said of them, whole and exact.
var problems = map[string]struct{ doc, want string }{
	"unknown member":  {"kernel: 1\nparam: {}\n", "line 2, column 1: param: unknown member"},
	"repeated member": {"kernel: 1\nparams: {tol_d: \"0.1\", tol_d: \"0.2\"}\n", "line 2, column 24: params.tol_d: repeated member"},
	"a list":          {"- kernel\n", "line 1, column 1: must be a mapping"},
	"nothing":         {"---\n", "line 2, column 1: must be a mapping"},
	"empty":           {"# only words\n", "the document is empty"},
	"kernel":          {"kernel: 9\n", `line 1, column 9: kernel: this release has the kernels [1 2], not "9"`},
	"null":            {"kernel: ~\n", "line 1, column 9: kernel: must be a single value"},
	"double":          {"params: {tol_d: 1e-2}\n", `line 1, column 17: params.tol_d: must be a plain decimal with at most nine decimals, not "1e-2"`},
	"infinity":        {"params: {tol_d: .inf}\n", `line 1, column 17: params.tol_d: must be a plain decimal with at most nine decimals, not ".inf"`},
	"negative":        {"params: {tol_d: \"-1\"}\n", `line 1, column 17: params.tol_d: must be between -1000000 and 1000000, a tolerance not below 0, not "-1"`},
	"too large":       {"params: {d0: 1000000.1}\n", `line 1, column 14: params.d0: must be between -1000000 and 1000000, a tolerance not below 0, not "1000000.1"`},
	"ttl":             {"params: {dedup_ttl: 14}\n", `line 1, column 21: params.dedup_ttl: must be a span such as 336h, above 0 and at most 876000h, not "14"`},
	"ttl too long":    {"params: {dedup_ttl: 876001h}\n", `line 1, column 21: params.dedup_ttl: must be a span such as 336h, above 0 and at most 876000h, not "876001h"`},
	"required":        {"signature: {required: yes}\n", `line 1, column 23: signature.required: must be one of true, false, not "yes"`},
	"word":            {"signature: {profiles: [f9, f8]}\n", `line 1, column 28: signature.profiles: unknown word "f8"`},
	"scheme":          {"signature: {schemes: [pcs/2, pcs/3]}\n", `line 1, column 30: signature.schemes: unknown word "pcs/3"`},
	"no scheme":       {"signature: {schemes: []}\n", "line 1, column 22: signature.schemes: must be a list of at least one word"},
	"scheme twice":    {"signature: {schemes: [pcs/2, pcs/2]}\n", `line 1, column 30: signature.schemes: "pcs/2" is there twice`},
	"a bare scheme":   {"signature: {schemes: pcs/2}\n", "line 1, column 22: signature.schemes: must be a list of at least one word"},
	"word twice":      {"signature: {algorithms: [ed25519, ed25519]}\n", `line 1, column 35: signature.algorithms: "ed25519" is there twice`},
	"no word":         {"signature: {algorithms: []}\n", "line 1, column 25: signature.algorithms: must be a list of at least one word"},
	"late window":     {"epochs: {late_window: 4097}\n", `line 1, column 23: epochs.late_window: must be a number of epochs from 0 to 4096, not "4097"`},
	"negative window": {"epochs: {late_window: -1}\n", `line 1, column 23: epochs.late_window: must be a number of epochs from 0 to 4096, not "-1"`},
	"useless window":  {"epochs: {on_regression: allow, late_window: 5}\n", `line 1, column 1: epochs.late_window: on_regression: allow accepts every late epoch; leave late_window out`},
	"regression":      {"epochs: {on_regression: ignore}\n", `line 1, column 25: epochs.on_regression: must be one of escalate, reject, allow, not "ignore"`},
	"versions":        {"versions: [0.1, \"0 6\"]\n", `line 1, column 17: versions: unknown word "0 6"`},
	"no version":      {"versions: []\n", "line 1, column 11: versions: must be a list of at least one word"},
	"rules":           {"rules: {}\n", "line 1, column 8: rules: must be a list"},
	"half a rule":     {"rules:\n- {when: degraded, then: refuse}\n", "line 2, column 3: rules[0]: a rule has when, then and reason"},
	"reason": {"rules:\n- {when: degraded, then: refuse, reason: d_hat_mismatch}\n",
		`line 2, column 42: rules[0].reason: must be 1 to 48 of a-z, 0-9 and _, begin with a letter and be no reason of a check, not "d_hat_mismatch"`},
	"then":       {"rules:\n- {when: degraded, then: accept, reason: x}\n", `line 2, column 26: rules[0].then: must be one of escalate, refuse, not "accept"`},
	"many rules": {"rules:\n" + strings.Repeat("- {when: degraded, then: refuse, reason: x}\n", 257), "line 2, column 1: rules: more than 256 rules"},

	// What makes YAML more than it looks like.
	"not YAML":          {"kernel: [\n", "line 1: not YAML: did not find expected node content"},
	"two documents":     {"kernel: 1\n---\nkernel: 1\n", "line 2, column 1: a second document"},
	"half a document":   {"kernel: 1\n---\n\"\n", "line 3: not YAML: found unexpected end of stream"},
	"anchor":            {"rules: &r []\n", "line 1, column 8: anchors and aliases are not allowed"},
	"alias":             {"params: &a {tol_d: \"0.1\"}\nepochs: *a\n", "line 1, column 9: anchors and aliases are not allowed\nline 2, column 9: anchors and aliases are not allowed"},
	"merge key":         {"<<: {kernel: 1}\n", "line 1, column 1: <<: unknown member"},
	"tag":               {"kernel: !!str 1\n", "line 1, column 9: tags are not allowed"},
	"binary":            {"rules: [{when: !!binary ZGVncmFkZWQ=}]\n", "line 1, column 16: tags are not allowed"},
	"nested":            {"rules: [[[[[[[[[]]]]]]]]]\n", "line 1, column 16: nested deeper than 8 levels"},
	"bytes":             {"kernel: 1\nrules: \"\xff\"\n", "line 2, column 9: the document is not UTF-8"},
	"a large document":  {strings.Repeat("#", verify.MaxPolicyBytes+1), "the document has more than 262144 bytes"},
	"control character": {"kernel: \x00\n", "not YAML: control characters are not allowed"},
}

// conditions are conditions with what is said of them; they begin in column 11 of line 2.
var conditions = map[string]struct{ when, want string }{
	"nothing at all":    {"", "line 2, column 11: rules[0].when: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"},
	"field":             {"shard == 1", `line 2, column 11: rules[0].when: there is no field "shard"`},
	"not readable":      {"attempt > 1", `line 2, column 11: rules[0].when: there is no field "attempt"`},
	"member":            {"ft.clock_skew_ms > 1", "line 2, column 13: rules[0].when: members of fields cannot be selected: a rule reads the fields of a record by their own names"},
	"type":              {`epoch == "1"`, "line 2, column 17: rules[0].when: == does not take int and string"},
	"not a condition":   {"epoch", "line 2, column 11: rules[0].when: this is not a condition but a value of type int"},
	"order of bools":    {"degraded < accepted", "line 2, column 20: rules[0].when: < does not take bool and bool"},
	"equal lists":       {"reasons == reasons", "line 2, column 19: rules[0].when: == does not take list of strings and list of strings"},
	"double":            {"d_hat > 2.0", `line 2, column 19: rules[0].when: doubles are not part of the rule language: write nano("...")`},
	"exponent":          {"d_hat > 2e9", `line 2, column 19: rules[0].when: doubles are not part of the rule language: write nano("...")`},
	"large integer":     {"epoch > 9223372036854775808", "line 2, column 19: rules[0].when: invalid int literal"},
	"unsigned":          {"epoch > 1u", "line 2, column 19: rules[0].when: a constant of type uint is not part of the rule language"},
	"null":              {"shard_id == null", "line 2, column 23: rules[0].when: a constant of type null_type is not part of the rule language"},
	"bytes literal":     {`b"a" == b"b"`, "line 2, column 11: rules[0].when: a constant of type bytes is not part of the rule language\nline 2, column 19: rules[0].when: a constant of type bytes is not part of the rule language"},
	"exists":            {`reasons.exists(x, x == "a")`, `line 2, column 25: rules[0].when: exists is not part of the rule language`},
	"has":               {"has(ft.degraded)", "line 2, column 14: rules[0].when: has is not part of the rule language"},
	"regular expr.":     {`shard_id.matches("a+")`, "line 2, column 27: rules[0].when: matches is not part of the rule language"},
	"arithmetic":        {"epoch + 1 > 2", "line 2, column 17: rules[0].when: + is not part of the rule language"},
	"negation":          {`d_hat > -nano("1")`, "line 2, column 19: rules[0].when: - is not part of the rule language"},
	"conversion":        {"int(shard_id) > 2", "line 2, column 14: rules[0].when: int is not part of the rule language"},
	"dyn":               {"dyn(epoch) == 2", "line 2, column 14: rules[0].when: dyn is not part of the rule language"},
	"ternary":           {"degraded ? true : false", "line 2, column 20: rules[0].when: ?_: is not part of the rule language"},
	"size":              {"size(shard_id) > 2", "line 2, column 15: rules[0].when: size is not part of the rule language"},
	"contains":          {`shard_id.contains("a")`, "line 2, column 28: rules[0].when: contains is not part of the rule language"},
	"index":             {`reasons[0] == "x"`, "line 2, column 18: rules[0].when: [_] is not part of the rule language"},
	"map":               {`"a" in {"a": 1}`, "line 2, column 18: rules[0].when: maps and messages are not part of the rule language"},
	"message":           {`Record{a: 1} == 1`, "line 2, column 17: rules[0].when: maps and messages are not part of the rule language"},
	"timestamp":         {`timestamp("2026-01-01T00:00:00Z") == 1`, "line 2, column 20: rules[0].when: timestamp is not part of the rule language"},
	"function of text":  {`startsWith(shard_id, "a")`, "line 2, column 21: rules[0].when: found no matching overload for 'startsWith' applied to '(string, string)'"},
	"nano":              {`d_hat > nano("1e3")`, "line 2, column 23: rules[0].when: nano: the argument must be a plain decimal with at most nine decimals"},
	"nano of a field":   {"d_hat > nano(shard_id)", "line 2, column 23: rules[0].when: nano: the argument must be one string constant"},
	"time":              {`log_time > time("today")`, "line 2, column 26: rules[0].when: time: " + errTime.Error()},
	"empty list":        {"epoch in []", "line 2, column 20: rules[0].when: an empty list matches nothing"},
	"mixed list":        {`epoch in [1, "a"]`, "line 2, column 24: rules[0].when: a list holds integer constants, or string constants, and not both"},
	"list of fields":    {"epoch in [seed]", "line 2, column 21: rules[0].when: a list holds constants only"},
	"list of sums":      {"epoch in [1 + 2]", "line 2, column 23: rules[0].when: a list holds constants only"},
	"list elsewhere":    {"[1] == [1]", "line 2, column 11: rules[0].when: a list can only stand to the right of in\nline 2, column 18: rules[0].when: a list can only stand to the right of in"},
	"long list":         {"epoch in [" + strings.Repeat("1,", 1024) + "1]", "line 2, column 20: rules[0].when: a list must have 1 to 1024 elements"},
	"long text":         {`shard_id == "` + strings.Repeat("a", 257) + `"`, "line 2, column 23: rules[0].when: a string constant must be UTF-8 of at most 256 bytes"},
	"long condition":    {strings.Repeat("degraded || ", 1000) + "degraded", "line 2, column 11: rules[0].when: longer than 8192 bytes"},
	"long when printed": {strings.Repeat("degraded || ", 681) + "degraded", "line 2, column 4100: rules[0].when: longer than 8192 bytes with all its brackets"},
	"deep":              {strings.Repeat("!(", 32) + "degraded" + strings.Repeat(")", 32), "line 2, column 75: rules[0].when: nested deeper than 32 levels"},
	"deeper":            {strings.Repeat("!(", 1000) + "degraded" + strings.Repeat(")", 1000), "line 2, column 11: rules[0].when: expression recursion limit exceeded: 64"},
	"brackets":          {strings.Repeat("(", 2000) + "degraded" + strings.Repeat(")", 2000), "line 2, column 11: rules[0].when: expression recursion limit exceeded: 64"},
}

// TestProblems: what is refused, where and why.
func TestProblems(t *testing.T) {
	for name, c := range problems {
		if _, err := Parse([]byte(c.doc)); !errors.Is(err, verify.ErrPolicy) || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
	for name, c := range conditions {
		_, err := Parse([]byte("rules:\n- {when: '" + c.when + "', then: refuse, reason: x}\n"))
		if !errors.Is(err, verify.ErrPolicy) || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

// TestAllProblems: all of them at once, in the order of the document, up to a bound.
func TestAllProblems(t *testing.T) {
	_, err := Parse([]byte("kernel: 7\nparams: {tol_d: x}\nrules:\n- {when: 'oops || size(1)', then: refuse}\nmore: 1\n"))
	want := `line 1, column 9: kernel: this release has the kernels [1 2], not "7"
line 2, column 17: params.tol_d: must be a plain decimal with at most nine decimals, not "x"
line 4, column 11: rules[0].when: there is no field "oops"
line 4, column 23: rules[0].when: size is not part of the rule language
line 4, column 3: rules[0]: a rule has when, then and reason
line 5, column 1: more: unknown member`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	var first *Error
	if !errors.As(err, &first) || *first != (Error{1, 9, "kernel", `this release has the kernels [1 2], not "7"`}) {
		t.Errorf("%+v", first)
	}
	_, err = Parse([]byte(strings.Repeat("x: 1\n", 1000)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxProblems+1 || lines[maxProblems] != "there are more problems" {
		t.Errorf("%d problems, the last is %s", len(lines), lines[len(lines)-1])
	}
}

// TestWholePolicy: bounds that no single rule breaks.
func TestWholePolicy(t *testing.T) {
	var nodes, size strings.Builder
	nodes.WriteString("rules:\n")
	size.WriteString("rules:\n")
	for range 200 {
		nodes.WriteString("- {when: '" + strings.Repeat("degraded || ", 11) + "degraded', then: refuse, reason: x}\n")
	}
	for range 32 {
		size.WriteString("- {when: 'epoch in [" + strings.Repeat("1,", 1000) + "1] || degraded', then: refuse, reason: x}\n")
		size.WriteString("- {when: 'epoch in [" + strings.Repeat("1,", 1023) + "1]', then: refuse, reason: x}\n")
	}
	printed := "rules:\n" + strings.Repeat("- {when: 'shard_id in ["+strings.Repeat(`"a",`, 999)+`"a"]', then: refuse, reason: x}`+"\n", 60)
	for doc, want := range map[string]string{
		printed:        "line 1, column 1: printed again the document has more than 262144 bytes",
		nodes.String(): "line 1, column 1: rules[178].when: more than 32 levels or 4096 nodes",
		size.String():  "line 1, column 1: the canonical form has more than 262144 bytes",
	} {
		if _, err := Parse([]byte(doc)); !errors.Is(err, verify.ErrPolicy) || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// TestTimes: what counts as a point in time.
func TestTimes(t *testing.T) {
	for text, want := range map[string]int64{
		"1970-01-01T00:00:00Z": 0, "2026-11-01T00:00:00Z": 1_793_491_200_000_000_000, "2026-11-01T02:00:00.000000001+02:00": 1_793_491_200_000_000_001,
		"2026-11-01T00:00:00.5+00:00": 1_793_491_200_500_000_000,
	} {
		if got, err := parseTime(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2026-11-01", "2026-11-01T0:00:00Z", "2026-11-01T00:00:00,5Z", "2026-11-01T00:00:00.0000000001Z", "2026-11-01 00:00:00Z",
		"2026-11-01T00:00:00", "2026-11-31T00:00:00Z", "2026-11-01T00:00:60Z", "2026-11-01T00:00:00+00:60", "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z",
		"2026-11-01T00:00:00.Z"} {
		if got, err := parseTime(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}

// FuzzParse: any document is refused or gives a policy that prints and parses to itself.
func FuzzParse(f *testing.F) {
	for name := range conditions {
		f.Add([]byte("rules:\n- {when: '" + conditions[name].when + "', then: refuse, reason: x}\n"))
	}
	for _, s := range []string{"kernel: 1\n", "rules:\n- {when: degraded, then: refuse, reason: x}\n", "params: {tol_d: \"0.1\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if canonical, err := verify.ParsePolicy(p.Canonical()); err != nil || canonical.ID() != p.ID() {
			t.Fatalf("canonical form: %v\n%s", err, p.Canonical())
		}
		if again, err := Parse(Document(p)); err != nil || again.ID() != p.ID() {
			t.Fatalf("%v\n%s", err, Document(p))
		}
	})
}
