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
	`"rules":[],"signature":{"algorithms":["hmac-sha256","ed25519"],"profiles":["f9","py","es","go","go-fold"],"required":true}}`

// defaultID is the SHA-256 of defaultDoc.
const defaultID = "24f0ccd1914fcab2703903215d94ffda0c1d4f6d21369032bdfb76846d7ecb7a"

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
		"twice": swap(`"f9","py"`, `"f9","f9","py"`), "profile": swap(`"f9"`, `"f8"`), "no profile": swap(`["f9","py","es","go","go-fold"]`, `[]`),
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
	p.Signature = SignatureRules{Required: false, Algorithms: []Alg{Ed25519}, Profiles: allProfiles}
	p.Epochs.OnRegression = RegressionReject
	p.Params = Params{TolD: 1, Alpha: -maxParam, Beta: maxParam, DedupTTL: maxTTL}
	got, err := ParsePolicy(p.Canonical())
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v %v", got, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(defaultDoc))
	f.Add([]byte(strings.Replace(defaultDoc, `"1"`, `"2"`, 1)))
	f.Add([]byte(`{"rules":[]}`))
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
		Judge(p, &pcs.Record{}, someFacts, 0)
	})
}
