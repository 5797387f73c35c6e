package verify

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

const defaultDoc = `{"epochs":{"on_regression":"escalate"},"kernel":"1","params":{"alpha":"0.300000000","base":"0.100000000",` +
	`"beta":"0.500000000","d0":"2.200000000","dedup_ttl_ns":"1209600000000000","gamma":"0.200000000","non_sticky_d":"2.600000000",` +
	`"sticky_coh":"0.700000000","sticky_d":"1.500000000","tol_budget":"0.010000000","tol_coh":"0.050000000","tol_d":"0.150000000"},` +
	`"rules":[],"signature":{"algorithms":["hmac-sha256","ed25519"],"profiles":["f9","py","es","go","go-fold","py-bin"],"required":true}}`

// defaultID is the SHA-256 of defaultDoc.
const defaultID = "95ca8b018ff1b3ceac843203158072b515e8415bba681ca767d8a8ba7aa266d4"

// The canonical form and with it the id of the first policy never change.
func TestCanonicalPolicy(t *testing.T) {
	t.Parallel()
	if got := string(DefaultPolicy().Canonical()); got != defaultDoc {
		t.Errorf("canonical form\n%s\nwant\n%s", got, defaultDoc)
	}
	id := DefaultPolicy().ID()
	if got := hex.EncodeToString(id[:]); got != defaultID {
		t.Errorf("id %s", got)
	}
	p, err := ParsePolicy([]byte(defaultDoc))
	if err != nil || !reflect.DeepEqual(p, DefaultPolicy()) {
		t.Errorf("%+v %v", p, err)
	}
	shuffled := DefaultPolicy()
	shuffled.Signature.Algorithms = []Alg{Ed25519, HMACSHA256, Ed25519}
	if shuffled.ID() != id {
		t.Error("the order of algorithms changes the id")
	}
	other := DefaultPolicy()
	other.Params.TolD++
	if other.ID() == id {
		t.Error("another tolerance has the same id")
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	t.Parallel()
	swap := func(old, new string) string {
		if !strings.Contains(defaultDoc, old) {
			t.Fatalf("%q is not in the document", old)
		}
		return strings.Replace(defaultDoc, old, new, 1)
	}
	for name, doc := range map[string]string{
		"empty": "", "null": "null", "no object": "[]", "trailing": defaultDoc + " ", "two": defaultDoc + defaultDoc, "leading": " " + defaultDoc,
		"unknown member": swap(`"rules":[]`, `"rules":[],"more":1`), "case": swap(`"kernel"`, `"Kernel"`),
		"repeated": swap(`"kernel":"1"`, `"kernel":"1","kernel":"1"`), "missing": swap(`"kernel":"1",`, ``),
		"number": swap(`"kernel":"1"`, `"kernel":1`), "kernel spelling": swap(`"kernel":"1"`, `"kernel":"01"`),
		"rules null": swap(`"rules":[]`, `"rules":null`), "a rule": swap(`"rules":[]`, `"rules":[{}]`),
		"short decimal": swap(`"0.150000000"`, `"0.15"`), "escape": swap(`"escalate"`, `"escal\u0061te"`),
		"negative tolerance": swap(`"tol_d":"0.150000000"`, `"tol_d":"-0.150000000"`), "huge": swap(`"0.300000000"`, `"1000000.000000001"`),
		"ttl zero": swap(`"1209600000000000"`, `"0"`), "ttl negative": swap(`"1209600000000000"`, `"-1"`), "ttl beyond": swap(`"1209600000000000"`, `"9223372036854775807"`),
		"ttl sign": swap(`"1209600000000000"`, `"+1"`), "regression": swap(`"escalate"`, `"ignore"`), "no algorithm": swap(`["hmac-sha256","ed25519"]`, `[]`),
		"algorithm": swap(`"hmac-sha256"`, `"none"`), "order": swap(`["hmac-sha256","ed25519"]`, `["ed25519","hmac-sha256"]`),
		"twice": swap(`"f9","py"`, `"f9","f9","py"`), "profile": swap(`"f9"`, `"f8"`), "no profile": swap(`["f9","py","es","go","go-fold","py-bin"]`, `[]`),
		"required": swap(`"required":true`, `"required":null`), "space": swap(`,"rules"`, `, "rules"`), "params null": swap(`"alpha":"0.300000000"`, `"alpha":null`),
	} {
		if _, err := ParsePolicy([]byte(doc)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ParsePolicy([]byte(swap(`"kernel":"1"`, `"kernel":"3"`)))
	if !errors.Is(err, ErrUnknownKernel) || !errors.Is(err, ErrPolicy) {
		t.Errorf("kernel 3: %v", err)
	}
	if _, err := ParsePolicy(make([]byte, MaxPolicyBytes+1)); !errors.Is(err, ErrPolicy) {
		t.Errorf("too long: %v", err)
	}
}

func TestPolicyRoundTrip(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Signature = SignatureRules{Required: false, Algorithms: []Alg{Ed25519}, Profiles: allProfiles, Schemes: pcs.SchemesOf(pcs.PCS2)}
	p.Epochs = EpochRules{OnRegression: RegressionReject, LateWindow: MaxLateWindow}
	p.Versions = []string{"0.1", "0.6"}
	p.Params = Params{TolD: 1, Alpha: -maxParam, Beta: maxParam, DedupTTL: maxTTL}
	if text := string(p.Canonical()); !strings.HasPrefix(text, `{"epochs":{"late_window":"4096","on_regression":"reject"},`) {
		t.Error(text)
	}
	if text := string(p.Canonical()); !strings.HasSuffix(text, `,"versions":["0.1","0.6"]}`) {
		t.Error(text)
	}
	got, err := ParsePolicy(p.Canonical())
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v %v", got, err)
	}
}

// ruledRules is the canonical form of the rules of TestCanonicalRules: JSON escapes quotes, backslashes, control characters (as
// \u00xx), <, >, &, U+2028 and U+2029, and nothing else.
const ruledRules = `"rules":[{"reason":"lab_review","then":"escalate","when":["and",["starts",["field","shard_id"],["str","lab-"]],` +
	`["gt",["field","d_hat"],["int","2000000000"]]]},{"reason":"odd","then":"refuse","when":["or",["not",["in",["field","epoch"],` +
	`["ints","1","-2"]]],["in",["field","key_id"],["strs","a\"b\\","\u0000\u0008\u000a\u001f` + "\x7f" + `","\u003c\u003e\u0026\u2028\u2029","é😀/'` + "\u0085\ufeff" + `"]]]},` +
	`{"reason":"z9","then":"refuse","when":["bool","0"]}]`

// ruledID is the SHA-256 of defaultDoc with ruledRules.
const ruledID = "002879374e196f500344b8ae110b47c5a108ad4b7b50d4ea5bb1bcb3370647c0"

// The canonical form of rules never changes either.
func TestCanonicalRules(t *testing.T) {
	t.Parallel()
	doc := strings.Replace(defaultDoc, `"rules":[]`, ruledRules, 1)
	p := ruled(t, Rule{"lab_review", RuleEscalate, op("and", op("starts", fld("shard_id"), str("lab-")), op("gt", fld("d_hat"), num(2_000_000_000)))},
		Rule{"odd", RuleRefuse, op("or", op("not", op("in", fld("epoch"), nums(1, -2))),
			op("in", fld("key_id"), strs("a\"b\\", "\x00\b\n\x1f\x7f", "<>&\u2028\u2029", "é😀/'\u0085\ufeff")))},
		Rule{"z9", RuleRefuse, never})
	if got := string(p.Canonical()); got != doc {
		t.Errorf("canonical form\n%s\nwant\n%s", got, doc)
	}
	id := p.ID()
	if got := hex.EncodeToString(id[:]); got != ruledID {
		t.Errorf("id %s", got)
	}
	if got, err := ParsePolicy([]byte(doc)); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v %v", got, err)
	}
	swapped := p
	swapped.Rules = []Rule{p.Rules[1], p.Rules[0], p.Rules[2]}
	if swapped.ID() == id {
		t.Error("the order of rules does not change the id")
	}
}

// TestParsePolicyRefusesRules: one tree has one text.
func TestParsePolicyRefusesRules(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`["not",`, 20_000) + `["bool","1"]` + strings.Repeat("]", 20_000)
	for name, when := range map[string]string{
		"null": "null", "empty": "[]", "text": `"true"`, "object": "{}", "no argument": `["bool"]`, "two": `["bool","1","0"]`, "number": `["bool",1]`,
		"true": `["bool","true"]`, "bool 2": `["bool","2"]`, "bool 01": `["bool","01"]`, "bool -0": `["bool","-0"]`, "operator": `["exists","1"]`,
		"upper case": `["NOT",["bool","1"]]`, "field": `["field","attempt"]`, "not a bool": `["field","epoch"]`, "space": `["bool", "1"]`,
		"plus": `["eq",["int","+1"],["int","1"]]`, "zero": `["eq",["int","01"],["int","1"]]`, "minus zero": `["eq",["int","-0"],["int","1"]]`,
		"beyond": `["eq",["int","9223372036854775808"],["int","1"]]`, "double": `["eq",["int","1.0"],["int","1"]]`, "exponent": `["eq",["int","1e3"],["int","1"]]`,
		"not text": `["eq",["str",["str","a"]],["str","a"]]`, "needless escape": `["eq",["str","\u0061"],["str","a"]]`, "slash": `["eq",["str","\/"],["str","a"]]`,
		"short escape": `["eq",["str","\n"],["str","a"]]`, "upper hex": `["eq",["str","\u001F"],["str","a"]]`, "bare <": `["eq",["str","<"],["str","a"]]`,
		"bare U+2028": "[\"eq\",[\"str\",\"\u2028\"],[\"str\",\"a\"]]", "half a pair": `["eq",["str","\ud800"],["str","a"]]`,
		"escaped pair": `["eq",["str","\ud83d\ude00"],["str","a"]]`, "bytes": "[\"eq\",[\"str\",\"\xff\"],[\"str\",\"a\"]]",
		"list of none": `["in",["int","1"],["ints"]]`, "mixed list": `["in",["int","1"],["ints","a"]]`, "three": `["and",["bool","1"],["bool","1"],["bool","1"]]`,
		"deep": deep, "deep lists": strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
	} {
		doc := strings.Replace(defaultDoc, `"rules":[]`, `"rules":[{"reason":"x","then":"refuse","when":`+when+`}]`, 1)
		if _, err := ParsePolicy([]byte(doc)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, rule := range map[string]string{
		"order": `{"then":"refuse","reason":"x","when":["bool","1"]}`, "more": `{"more":"1","reason":"x","then":"refuse","when":["bool","1"]}`,
		"no reason": `{"then":"refuse","when":["bool","1"]}`, "no condition": `{"reason":"x","then":"refuse"}`, "null": "null",
		"twice": `{"reason":"x","reason":"x","then":"refuse","when":["bool","1"]}`, "case": `{"Reason":"x","then":"refuse","when":["bool","1"]}`,
	} {
		if _, err := ParsePolicy([]byte(strings.Replace(defaultDoc, `"rules":[]`, `"rules":[`+rule+`]`, 1))); !errors.Is(err, ErrPolicy) {
			t.Errorf("rule %s: %v", name, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(defaultDoc))
	f.Add([]byte(strings.Replace(defaultDoc, `"1"`, `"2"`, 1)))
	f.Add([]byte(`{"rules":[]}`))
	f.Add(ruled(f, labRules(2)...).Canonical())
	f.Add(ruled(f, Rule{"odd", RuleRefuse, op("or", op("in", fld("key_id"), strs("<\u2028", "é")), op("not", op("in", fld("seed"), nums(1, -2))))}).Canonical())
	rec := goodRecord(f, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Fatalf("%v does not wrap ErrPolicy", err)
			}
			return
		}
		if string(p.Canonical()) != string(b) {
			t.Fatal("accepted a text that is not canonical")
		}
		Evaluate(p, &pcs.Record{}, someFacts, 0)
		for _, r := range p.Rules {
			if r.When.String() == "" {
				t.Fatal("a condition without text")
			}
		}
		if v := Evaluate(p, rec, someFacts, 0); v.Reason == ReasonKernelFault {
			t.Fatalf("an accepted policy fails: %+v", v)
		}
	})
}
