package verify

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// wholeVector is a case of golden/signing_v2.json.
type wholeVector struct{ Name, Record, Canonical, Message, HMAC, Ed25519 string }

func wholeVectors(t testing.TB) []wholeVector {
	var golden struct{ Cases []wholeVector }
	dataJSON(t, "golden/signing_v2.json", &golden)
	if len(golden.Cases) < 14 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	return golden.Cases
}

// withSig decodes a body with another signature in it.
func withSig(t testing.TB, body, sig string) *pcs.Record {
	t.Helper()
	rec := pcs.Decode([]byte(body))
	if rec.Fault != nil {
		t.Fatalf("%v in %s", rec.Fault, body)
	}
	rec.Sig, rec.HasSig = sig, sig != ""
	return rec
}

// hmacText is the signature over any message.
func hmacText(secret string, msg []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(msg)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// TestGoldenWhole: the published signatures of pcs/2 verify, each for the records of its canonical form only.
func TestGoldenWhole(t *testing.T) {
	t.Parallel()
	keySet, keys, vectors, policy := trustedKeys(t), loadKeys(t), wholeVectors(t), DefaultPolicy()
	ids := map[Alg]string{HMACSHA256: mustHMAC(t, keys.HMAC["hmac-current"].Text).ID, Ed25519: mustEd(t, keys.Ed25519["ed-main"].PublicHex).ID}
	for _, v := range vectors {
		for alg, sig := range map[Alg]string{HMACSHA256: v.HMAC, Ed25519: v.Ed25519} {
			want := Facts{KeyID: ids[alg], Alg: alg, Profile: pcs.F9, Mode: Whole}
			rec := withSig(t, v.Record, sig)
			if got := keySet.Check(rec, Facts{}); got != want || !got.InputsSigned() {
				t.Errorf("%s %s: %+v", v.Name, alg, got)
			}
			if ok, known := keySet.Recheck(rec, want); !ok || !known {
				t.Errorf("%s %s: recheck %v %v", v.Name, alg, ok, known)
			}
			if got := Evaluate(policy, rec, want, 0); got.Outcome == Refused {
				t.Errorf("%s %s: %+v", v.Name, alg, got)
			}
			for _, other := range vectors {
				if found := keySet.Check(withSig(t, other.Record, sig), want).Valid(); found != (other.Canonical == v.Canonical) {
					t.Errorf("%s: the %s signature of %s verifies: %v", other.Name, alg, v.Name, found)
				}
			}
		}
	}
}

// TestNoDowngrade: a signature counts under the scheme that the record names and under no other.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	const secret = "k"
	private := loadKeys(t).private("ed-main")
	keySet := NewKeySet([]Key{mustHMAC(t, secret), mustEd(t, loadKeys(t).Ed25519["ed-main"].PublicHex)})
	policy, tried := DefaultPolicy(), 0
	policy.Signature.Profiles = allProfiles
	refuse := func(what string, rec *pcs.Record, claim Facts) {
		t.Helper()
		tried++
		if f := keySet.Check(rec, claim); f.Valid() {
			t.Errorf("%s: found %+v", what, f)
		}
		if ok, known := keySet.Recheck(rec, claim); ok || !known {
			t.Errorf("%s: recheck %v %v", what, ok, known)
		}
		if v := Evaluate(policy, rec, claim, 0); v.Outcome != Refused || v.Reason != ReasonBadSignature {
			t.Errorf("%s: %+v", what, v)
		}
		if v := Evaluate(policy, rec, Facts{}, 0); v.Outcome != Refused || v.Reason != ReasonBadSignature {
			t.Errorf("%s, without facts: %+v", what, v)
		}
	}
	for p := pcs.F9; p <= pcs.LastProfile; p++ {
		for m := Raw; m <= SHA256; m++ {
			if !modeAllowed(p, m) {
				continue
			}
			rec := goodRecord(t, map[string]string{"sig_scheme": `"pcs/2"`})
			signHMAC(t, rec, secret, p, m)
			refuse(fmt.Sprintf("pcs/2 signed as %s %s", p, m), rec, Facts{KeyID: keySet.keys[0].ID, Alg: HMACSHA256, Profile: p, Mode: m})
			signEd(t, rec, private, p, m)
			refuse(fmt.Sprintf("pcs/2 signed as %s %s", p, m), rec, Facts{KeyID: keySet.keys[1].ID, Alg: Ed25519, Profile: p, Mode: m})
		}
	}
	whole, _ := goodRecord(t, map[string]string{"sig_scheme": `"pcs/2"`}).PCS2Message(nil)
	for _, scheme := range []string{"", `"pcs/1"`} {
		set := map[string]string{"sig_scheme": scheme}
		without, err := pcs.AppendCanonical(nil, goodBody(t, set)) // what a client signs that forgets to name the scheme
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(without)
		for _, msg := range [][]byte{whole, without, sum[:], fmt.Appendf(nil, "recount/pcs/2\n%x", sum)} {
			rec := goodRecord(t, set)
			rec.Sig, rec.HasSig = hmacText(secret, msg), true
			refuse("pcs/1 signed as pcs/2", rec, Facts{KeyID: keySet.keys[0].ID, Alg: HMACSHA256, Profile: pcs.F9, Mode: Whole})
			rec.Sig = base64.StdEncoding.EncodeToString(ed25519.Sign(private, msg))
			refuse("pcs/1 signed as pcs/2", rec, Facts{KeyID: keySet.keys[1].ID, Alg: Ed25519, Profile: pcs.F9, Mode: Whole})
		}
	}
	if tried != 2*17+2*4*2 {
		t.Errorf("%d records tried", tried)
	}
}

// TestWholeFacts: of mode whole there is one profile.
func TestWholeFacts(t *testing.T) {
	t.Parallel()
	for p := pcs.Profile(0); p <= pcs.LastProfile+1; p++ {
		for m := Mode(0); m <= Whole+1; m++ {
			f := Facts{KeyID: "k", Alg: HMACSHA256, Profile: p, Mode: m}
			known := p >= pcs.F9 && p <= pcs.LastProfile
			if want := known && (m == Raw || m == SHA256) || m == Whole && p == pcs.F9; f.Valid() != want || f.InputsSigned() != (want && m == Whole) {
				t.Errorf("%+v: %v %v", f, f.Valid(), f.InputsSigned())
			}
		}
	}
}

// TestSchemesOfAPolicy: which records pass, by what the policy takes and the record is.
func TestSchemesOfAPolicy(t *testing.T) {
	t.Parallel()
	unsignable := `"pcs/2","deep":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)
	v1, v2 := someFacts, Facts{KeyID: someFacts.KeyID, Alg: HMACSHA256, Profile: pcs.F9, Mode: Whole}
	for name, c := range map[string]struct {
		schemes  []pcs.Scheme
		required bool
		scheme   string // of the record
		facts    Facts
		sig      string
		want     string // what the refusal says, "" for none
	}{
		"both, v1":             {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, "", v1, "x", ""},
		"both, named v1":       {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, `"pcs/1"`, v1, "x", ""},
		"both, v2":             {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, `"pcs/2"`, v2, "x", ""},
		"both, forged":         {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, `"pcs/2"`, Facts{}, "x", "does not verify"},
		"v2 only, v1":          {[]pcs.Scheme{pcs.PCS2}, true, "", v1, "x", "of scheme pcs/2 only, and the record is of pcs/1"},
		"v2 only, forged v1":   {[]pcs.Scheme{pcs.PCS2}, true, "", Facts{}, "x", "of scheme pcs/2 only, and the record is of pcs/1"},
		"v2 only, v2":          {[]pcs.Scheme{pcs.PCS2}, true, `"pcs/2"`, v2, "x", ""},
		"v2 only, forged v2":   {[]pcs.Scheme{pcs.PCS2}, true, `"pcs/2"`, Facts{}, "x", "does not verify"},
		"v1 only, v1":          {[]pcs.Scheme{pcs.PCS1}, true, "", v1, "x", ""},
		"v1 only, v2":          {[]pcs.Scheme{pcs.PCS1}, true, `"pcs/2"`, v2, "x", "of scheme pcs/1 only, and the record is of pcs/2"},
		"not required, bare":   {[]pcs.Scheme{pcs.PCS2}, false, "", Facts{}, "", ""},
		"not required, v1":     {[]pcs.Scheme{pcs.PCS2}, false, "", v1, "x", "of scheme pcs/2 only, and the record is of pcs/1"},
		"not required, forged": {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, false, "", Facts{}, "x", "does not verify"},
		"stripped of its sig":  {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, false, `"pcs/2"`, Facts{}, "", "does not verify"},
		"no form of pcs/2":     {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, unsignable, v2, "x", "or an exponent is too long"},
		"required, bare":       {[]pcs.Scheme{pcs.PCS1, pcs.PCS2}, true, "", Facts{}, "", "does not verify"},
	} {
		p := DefaultPolicy()
		p.Signature.Schemes, p.Signature.Required = pcs.SchemesOf(c.schemes...), c.required
		scheme, deep, _ := strings.Cut(c.scheme, `,"deep":`)
		rec := goodRecord(t, map[string]string{"sig_scheme": scheme, "deep": deep, "sig": `"` + c.sig + `"`})
		v := Evaluate(p, rec, c.facts, 0)
		if c.want == "" && v.Outcome != Accepted || c.want != "" && (v.Outcome != Refused || v.Reason != ReasonBadSignature || !strings.HasSuffix(v.Evidence, c.want)) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// The canonical form of a policy that takes some schemes only; one that takes all does not name them.
func TestCanonicalSchemes(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Signature.Schemes = pcs.SchemesOf(pcs.PCS2)
	want := strings.Replace(defaultDoc, `"required":true`, `"required":true,"schemes":["pcs/2"]`, 1)
	if got := string(p.Canonical()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for doc, ok := range map[string]bool{
		want: true, strings.Replace(want, "pcs/2", "pcs/1", 1): true,
		strings.Replace(want, `"pcs/2"`, `"pcs/1","pcs/2"`, 1): false, strings.Replace(want, `"pcs/2"`, ``, 1): false,
		strings.Replace(want, "pcs/2", "pcs/3", 1): false, strings.Replace(want, "pcs/2", "unknown", 1): false,
		strings.Replace(want, `["pcs/2"]`, `null`, 1): false, strings.Replace(want, `"pcs/2"`, `"pcs/2","pcs/2"`, 1): false,
	} {
		if got, err := ParsePolicy([]byte(doc)); (err == nil) != ok || ok && string(got.Canonical()) != doc {
			t.Errorf("%v for %s", err, doc)
		}
	}
	none := DefaultPolicy()
	if none.Signature.Schemes = 0; none.Validate() == nil {
		t.Error("a policy that takes no scheme is valid")
	}
}

// TestWholeCost: a forgery costs one verification per key of its algorithm, a hint saves the search.
func TestWholeCost(t *testing.T) {
	t.Parallel()
	keySet := NewKeySet([]Key{mustHMAC(t, "a"), mustHMAC(t, "b"), mustEd(t, loadKeys(t).Ed25519["ed-main"].PublicHex), mustHMAC(t, "c")})
	rec := goodRecord(t, map[string]string{"sig_scheme": `"pcs/2"`})
	msg, _ := rec.PCS2Message(nil)
	for secret, want := range map[string]int{"a": 1, "c": 3, "no": 3} {
		rec.Sig, rec.HasSig = hmacText(secret, msg), true
		f, _, ops := keySet.check(rec, Facts{})
		if ops != want || f.Valid() != (secret != "no") {
			t.Errorf("%s: %+v at %d", secret, f, ops)
		}
		hinted, _, ops := keySet.check(rec, Facts{KeyID: keySet.keys[3].ID, Alg: HMACSHA256, Profile: pcs.Py, Mode: SHA256})
		if want := map[string]int{"a": 2, "c": 1, "no": 3}[secret]; hinted != f || ops != want {
			t.Errorf("%s, hinted: %+v at %d", secret, hinted, ops)
		}
	}
}
