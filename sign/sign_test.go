package sign_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/sign"
)

const testdata = "../testdata"

// published are the keys that the signatures of testdata were made with.
type published struct {
	HMAC    map[string]struct{ Text string }
	Ed25519 map[string]struct {
		Seed string `json:"seed_hex"`
	}
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newSigner(t *testing.T, key sign.Key, o sign.Options) *sign.Signer {
	t.Helper()
	return ok[*sign.Signer](t)(sign.New(key, o))
}

func publishedKeys(t *testing.T) (mac, ed sign.Key) {
	t.Helper()
	var keys published
	readJSON(t, "keys.json", &keys)
	return ok[sign.Key](t)(sign.ReadKey([]byte(keys.HMAC["hmac-current"].Text+"\n"), "")),
		ok[sign.Key](t)(sign.ReadKey([]byte(keys.Ed25519["ed-main"].Seed), sign.Ed25519))
}

func sigOf(t *testing.T, record []byte) string {
	t.Helper()
	var r struct{ Sig string }
	if err := json.Unmarshal(record, &r); err != nil {
		t.Fatalf("%s: %v", record, err)
	}
	return r.Sig
}

// TestWholeSignaturesArePublished: both algorithms give the golden signatures of pcs/2, whether the record names the
// scheme or the options do, and refuse what has no canonical form.
func TestWholeSignaturesArePublished(t *testing.T) {
	var g struct {
		Cases, Unsignable []struct{ Name, Record, HMAC, Ed25519 string }
	}
	readJSON(t, "golden/signing_v2.json", &g)
	mac, ed := publishedKeys(t)
	for _, o := range []sign.Options{{}, {Scheme: sign.PCS2}} {
		for _, c := range g.Cases {
			for key, want := range map[*sign.Key]string{&mac: c.HMAC, &ed: c.Ed25519} {
				record := c.Record
				if o.Scheme != "" {
					record = strings.Replace(record, `"pcs/2"`, `"pcs/1"`, 1)
				}
				signed, err := newSigner(t, *key, o).Sign([]byte(record))
				if err != nil || sigOf(t, signed) != want {
					t.Errorf("%s, %+v: %s %v, want %s", c.Name, o, signed, err, want)
				}
				s, err := sign.NewVerifier(mac, ed).Verify(signed)
				want := sign.Signature{PCSID: s.PCSID, Scheme: sign.PCS2, InputsSigned: true, KeyID: key.ID(),
					Algorithm: key.Algorithm(), Mode: "whole"}
				if err != nil || s != want {
					t.Errorf("%s: %+v %v", c.Name, s, err)
				}
			}
		}
	}
	for _, c := range g.Unsignable {
		if signed, err := newSigner(t, mac, sign.Options{}).Sign([]byte(c.Record)); err == nil || signed != nil {
			t.Errorf("%s: %s %v", c.Name, signed, err)
		}
	}
	if len(g.Cases) < 5 || len(g.Unsignable) == 0 {
		t.Errorf("%d cases, %d unsignable", len(g.Cases), len(g.Unsignable))
	}
}

// TestPCS1SignaturesArePublished signs the records of the corpus again under their own key, profile and mode.
func TestPCS1SignaturesArePublished(t *testing.T) {
	mac, ed := publishedKeys(t)
	for file, key := range map[string]sign.Key{"good-hmac.ndjson": mac, "good-ed25519.ndjson": ed} {
		f := ok[*os.File](t)(os.Open(filepath.Join(testdata, file)))
		defer f.Close()
		lines, seen := bufio.NewScanner(f), 0
		lines.Buffer(nil, 8<<20)
		for lines.Scan() && seen < 100 {
			var c struct{ ID, Key, Profile, Mode, Body string }
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			if c.Key != "hmac-current" && c.Key != "ed-main" {
				continue
			}
			seen++
			signer := newSigner(t, key, sign.Options{Profile: c.Profile, Mode: c.Mode})
			signed, err := signer.Sign([]byte(c.Body))
			if err != nil || sigOf(t, signed) != sigOf(t, []byte(c.Body)) {
				t.Errorf("%s: %s %v", c.ID, signed, err)
			}
			s, err := sign.NewVerifier(key).Verify(signed)
			if err != nil || s.Mode != c.Mode || s.InputsSigned || s.Scheme != sign.PCS1 {
				t.Errorf("%s: %+v %v", c.ID, s, err)
			}
		}
		if seen < 50 {
			t.Errorf("%s: %d records", file, seen)
		}
	}
}

// record is that of docs/signing.md, without sig.
func record(t *testing.T) *sign.Object {
	t.Helper()
	return ok[*sign.Object](t)(sign.ParseObject(ok[[]byte](t)(os.ReadFile(filepath.Join(testdata, "record.json")))))
}

// TestSignKeepsTheRest: order, spelling and unknown members stay, sig comes last, and the input is not changed.
func TestSignKeepsTheRest(t *testing.T) {
	mac, _ := publishedKeys(t)
	text := bytes.Replace(record(t).Text(), []byte(`"seed":42`), []byte(`"x":{"ü":1.00e0,"a":[1,2]},"seed":42`), 1)
	before := bytes.Clone(text)
	signed := ok[[]byte](t)(newSigner(t, mac, sign.Options{}).Sign(text))
	want := strings.TrimSuffix(string(before), "}") + `,"sig":"` + sigOf(t, signed) + `"}`
	if string(signed) != want || !bytes.Equal(text, before) {
		t.Errorf("%s\nwant %s", signed, want)
	}
}

func TestSignRefuses(t *testing.T) {
	mac, ed := publishedKeys(t)
	set := func(name, value string) func(o *sign.Object) {
		return func(o *sign.Object) { _ = errors.Join(o.Set(name, []byte(value)), o.SetID()) }
	}
	pcs1bin, same := sign.Options{Scheme: sign.PCS1, Profile: "bin"}, func(*sign.Object) {}
	for what, c := range map[string]struct {
		change func(o *sign.Object)
		o      sign.Options
		want   error
	}{
		"a fault":            {set("D_hat", "1000000001"), sign.Options{}, sign.ErrRecord},
		"an unknown scheme":  {set("sig_scheme", `"pcs/3"`), sign.Options{}, sign.ErrRecord},
		"another id":         {func(o *sign.Object) { _ = o.SetInt("epoch", 8) }, sign.Options{}, sign.ErrID},
		"profile of pcs/2":   {same, sign.Options{Profile: "f9"}, sign.ErrOptions},
		"mode of pcs/2":      {same, sign.Options{Mode: "raw"}, sign.ErrOptions},
		"no form of pcs/2":   {set("x", "1e99999999999"), sign.Options{}, sign.ErrNoCanonical},
		"too long for a bin": {set("shard_id", `"`+strings.Repeat("x", 200)+`"`), pcs1bin, sign.ErrProfile},
	} {
		o := record(t)
		c.change(o)
		before := o.Text()
		for _, key := range []sign.Key{mac, ed} {
			if err := newSigner(t, key, c.o).SignObject(o); !errors.Is(err, c.want) || !bytes.Equal(o.Text(), before) {
				t.Errorf("%s: %v; %s", what, err, o.Text())
			}
		}
	}
	signer := newSigner(t, mac, sign.Options{})
	for _, text := range []string{
		"", "[1]", "{", `{"a":1,"a":2}`, `{"a":1}{}`, `{"a":1}]`, "{\"a\":\"\xff\"}",
		`{"x":` + strings.Repeat("[", 2000),
	} {
		if signed, err := signer.Sign([]byte(text)); !errors.Is(err, sign.ErrSyntax) || signed != nil {
			t.Errorf("%.20s: %s %v", text, signed, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	mac, ed := publishedKeys(t)
	public := ok[sign.Key](t)(sign.NewPublicKey(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)))
	for _, c := range []struct {
		key  sign.Key
		o    sign.Options
		want error
		says string
	}{
		{sign.Key{}, sign.Options{}, sign.ErrKey, "private"},
		{public, sign.Options{}, sign.ErrKey, public.ID()},
		{mac, sign.Options{Scheme: "pcs/3"}, sign.ErrOptions, `scheme "pcs/3"`},
		{mac, sign.Options{Scheme: sign.PCS2, Profile: "f9"}, sign.ErrOptions, "scheme pcs/2"},
		{mac, sign.Options{Profile: "f10"}, sign.ErrOptions, `profile "f10": must be one of [f9 py`},
		{mac, sign.Options{Mode: "whole"}, sign.ErrOptions, `mode "whole"`},
		{ed, sign.Options{Profile: "bin", Mode: "raw"}, sign.ErrOptions, "profile bin"},
	} {
		s, err := sign.New(c.key, c.o)
		if s != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %+v: %v", c.key, c.o, err)
		}
	}
	if _, err := public.Sign(nil); !errors.Is(err, sign.ErrKey) {
		t.Error(err)
	}
}

// TestVerifySaysWhatItIsNot: an altered record, another key and a forgotten scheme do not verify.
func TestVerifySaysWhatItIsNot(t *testing.T) {
	mac, ed := publishedKeys(t)
	o := record(t)
	if err := newSigner(t, mac, sign.Options{}).SignObject(o); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(o *sign.Object) error{
		"a count":           func(o *sign.Object) error { return o.Set("N_j", []byte(`{"2":2,"4":4,"8":8,"16":16,"32":3}`)) },
		"an unknown member": func(o *sign.Object) error { return o.SetInt("new", 0) },
		"the scheme":        func(o *sign.Object) error { return o.SetString("sig_scheme", sign.PCS1) },
		"the signature": func(o *sign.Object) error {
			return o.SetString("sig", base64.StdEncoding.EncodeToString(make([]byte, 32)))
		},
	} {
		altered := o.Clone()
		if err := change(altered); err != nil {
			t.Fatal(err)
		}
		s, err := sign.NewVerifier(mac, ed).Verify(altered.Text())
		if !errors.Is(err, sign.ErrSignature) || s.KeyID != "" || s.PCSID == "" || s.InputsSigned {
			t.Errorf("%s: %+v %v", what, s, err)
		}
	}
	if s, err := sign.NewVerifier(ed, sign.Key{}).Verify(o.Text()); !errors.Is(err, sign.ErrSignature) {
		t.Errorf("%+v %v", s, err)
	}
	if s, err := sign.NewVerifier(mac).Verify([]byte("{}")); !errors.Is(err, sign.ErrRecord) {
		t.Errorf("%+v %v", s, err)
	}
	s, err := sign.NewVerifier(mac, mac).Verify(o.Text())
	if err != nil || s.KeyID != mac.ID() || s.Algorithm != sign.HMACSHA256 {
		t.Errorf("%+v %v", s, err)
	}
}

// TestMessageIsWhatIsSigned: a key outside of this program signs Message and the record verifies.
func TestMessageIsWhatIsSigned(t *testing.T) {
	mac, ed := publishedKeys(t)
	for _, key := range []sign.Key{mac, ed} {
		for _, scheme := range []string{sign.PCS1, sign.PCS2} {
			o := record(t)
			if err := o.SetString("sig_scheme", scheme); err != nil {
				t.Fatal(err)
			}
			message := ok[[]byte](t)(newSigner(t, key, sign.Options{}).Message(o.Text()))
			sig := ok[[]byte](t)(key.Sign(message))
			if err := o.SetString("sig", base64.StdEncoding.EncodeToString(sig)); err != nil {
				t.Fatal(err)
			}
			if s, err := sign.NewVerifier(key).Verify(o.Text()); err != nil || s.Scheme != scheme {
				t.Errorf("%s %s: %+v %v", key, scheme, s, err)
			}
		}
	}
	whole := newSigner(t, mac, sign.Options{Scheme: sign.PCS2})
	if _, err := whole.Message([]byte(`{"epoch":1}`)); !errors.Is(err, sign.ErrOptions) {
		t.Error(err)
	}
	if _, err := whole.Message([]byte(`[`)); !errors.Is(err, sign.ErrRecord) {
		t.Error(err)
	}
}

func TestReadKey(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	for _, text := range []string{hex.EncodeToString(seed), base64.StdEncoding.EncodeToString(seed) + "\n"} {
		k, err := sign.ReadKey([]byte(text), sign.Ed25519)
		if err != nil || k.Algorithm() != sign.Ed25519 || !k.CanSign() {
			t.Errorf("%s: %v %v", text, k, err)
		}
	}
	for _, text := range []string{hex.EncodeToString(public) + "\n", base64.StdEncoding.EncodeToString(public)} {
		if k, err := sign.ReadPublicKey([]byte(text)); err != nil || k.CanSign() || !strings.HasPrefix(k.ID(), "ed-") {
			t.Errorf("%s: %v %v", text, k, err)
		}
	}
	for _, c := range [][2]string{{"", ""}, {"a\nb", ""}, {"abc", sign.Ed25519}, {"abc", "rsa"},
		{"-----BEGIN X-----\n-----END X-----\n", "hmac"}, {"-----BEGIN X-----\n-----END X-----\n", ""}} {
		if k, err := sign.ReadKey([]byte(c[0]), c[1]); !errors.Is(err, sign.ErrKey) || k.CanSign() {
			t.Errorf("%q: %v %v", c, k, err)
		}
	}
	for _, text := range []string{"", "!", hex.EncodeToString(make([]byte, 32))} {
		if k, err := sign.ReadPublicKey([]byte(text)); !errors.Is(err, sign.ErrKey) {
			t.Errorf("%q: %v %v", text, k, err)
		}
	}
	if _, err := sign.NewEd25519Key(seed); !errors.Is(err, sign.ErrKey) {
		t.Error(err)
	}
	secret := ok[sign.Key](t)(sign.NewHMACKey([]byte("never print this")))
	text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, []sign.Key{secret})
	if strings.Contains(text, "never") || strings.Contains(text, "6e65766572") {
		t.Error(text)
	}
}

func TestObject(t *testing.T) {
	o := ok[*sign.Object](t)(sign.ParseObject([]byte(` { "b" : 1.50 , "a" : [ 1 , {"ü":2} ] } `)))
	c := o.Clone()
	for _, err := range []error{c.Set("b", []byte(" 2.0 ")), c.SetString("c", "\"\n"), c.SetInt("d", -1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := string(c.Text())
	if got != `{"b":2.0,"a":[1,{"ü":2}],"c":"\"\n","d":-1}` || c.Len() != 4 || strings.Join(c.Names(), "") != "bacd" {
		t.Error(got)
	}
	if b, err := json.Marshal(o); err != nil || string(b) != `{"b":1.50,"a":[1,{"ü":2}]}` {
		t.Errorf("%s %v", b, err)
	}
	for _, err := range []error{
		o.Set("b", []byte("x")), o.Set("b", nil), o.Set("b", []byte("1 2")),
		o.Set("\xff", []byte("1")), o.SetString("b", "\xff"),
	} {
		if !errors.Is(err, sign.ErrSyntax) {
			t.Error(err)
		}
	}
	value, has := o.Get("b")
	if value[0] = '9'; !has {
		t.Error("b is lost")
	}
	if again, _ := o.Get("b"); string(again) != "1.50" {
		t.Errorf("%s: what Get returned is not a copy", again)
	}
	for _, text := range []string{
		`{}`, `{"merkle_root":"a","shard_id":"b","epoch":1.5}`, `{"merkle_root":1,"shard_id":"b","epoch":1}`,
	} {
		if err := ok[*sign.Object](t)(sign.ParseObject([]byte(text))).SetID(); !errors.Is(err, sign.ErrRecord) {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := record(t)
	if err := errors.Join(r.SetString("shard_id", "sh\"ä"), r.SetInt("epoch", 9), r.SetID()); err != nil {
		t.Fatal(err)
	}
	if fault := pcs.Decode(r.Text()).CheckID(); fault != nil {
		t.Error(fault)
	}
}
