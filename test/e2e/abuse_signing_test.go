package e2e

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

var signedByOne = []string{"pcs_id", "merkle_root", "epoch", "shard_id", "D_hat", "coh_star", "r", "budget"}

// TestEveryChangeAfterSigning: under pcs/2 a record with any change is refused and leaves no trace, so that the record as it
// was signed is the first. Under pcs/1 that holds for the eight signed members; a change of another one is not noticed, and
// the answer says that inputs are not signed.
func TestEveryChangeAfterSigning(t *testing.T) {
	c := abuse(t, 3)
	unnoticed, refused, node := 0, 0, 0
	next := func() int { node = (node + 1) % len(c.API); return node }
	for alg, sign := range nodetest.AbuseSigners {
		m := c.records.Members("whole-"+alg, 5).SignPCS2(t, sign)
		for what, x := range m.Alterations(t) {
			body := x.Text(t)
			want := http.StatusUnauthorized
			if faulty(body) {
				want = http.StatusBadRequest
			}
			if status, _, p := c.post(next(), body); status != want || p.First != nil {
				t.Errorf("pcs/2 %s, %s: status %d, want %d: %+v", alg, what, status, want, p)
			}
			refused++
		}
		if status, a, p := c.post(next(), m.Text(t)); status != 200 || a.Replayed || !a.InputsSigned {
			t.Errorf("pcs/2 %s as signed: %d %+v %+v", alg, status, a, p)
		}
		m = c.records.Members("eight-"+alg, 5).SignPCS1(t, sign)
		if status, a, p := c.post(next(), m.Text(t)); status != 200 || a.InputsSigned {
			t.Fatalf("pcs/1 %s: %d %+v %+v", alg, status, a, p)
		}
		for what, x := range m.Alterations(t) {
			body, name := x.Text(t), strings.Fields(what)[0]
			status, a, p := c.post(next(), body)
			switch {
			case faulty(body):
				if status != http.StatusBadRequest {
					t.Errorf("pcs/1 %s, %s: status %d, want 400: %+v", alg, what, status, p)
				}
			case slices.Contains(signedByOne, name) && !sameSigned(m, x, t):
				if status != http.StatusUnauthorized {
					t.Errorf("pcs/1 %s, %s: status %d, want 401: %+v", alg, what, status, p)
				}
				refused++
			case status != http.StatusOK || !a.Replayed || a.InputsSigned:
				t.Errorf("pcs/1 %s, %s: %d %+v %+v", alg, what, status, a, p)
			default:
				unnoticed++
			}
		}
	}
	t.Logf("%d changed records refused; %d changes of unsigned members of pcs/1 not noticed", refused, unnoticed)
	if refused < 200 || unnoticed < 50 {
		t.Errorf("too few changes")
	}
	sameDigest(t, c.ctx, c.Cluster)
}

// faulty reports whether the default policy refuses the structure of a record.
func faulty(body []byte) bool {
	rec := pcs.Decode(body)
	return rec.Fault != nil || rec.CheckVersion([]string{pcs.DefaultVersion}) != nil
}

// sameSigned: digits beyond the ninth are no part of a signed value.
func sameSigned(a, b nodetest.Members, t *testing.T) bool {
	x, y := pcs.Decode(a.Text(t)), pcs.Decode(b.Text(t))
	return x.SignedDigest(x.Tuple(pcs.F9)) == y.SignedDigest(y.Tuple(pcs.F9))
}

// TestSpellingIsNotSigned: what a proxy may do to JSON does not break a signature of pcs/2.
func TestSpellingIsNotSigned(t *testing.T) {
	c := abuse(t, 1)
	m := c.records.Members("spelling", 1).SignPCS2(t, nodetest.AbuseSigners["hmac"])
	var parts []string
	for name, raw := range m { // in any order
		parts = append(parts, fmt.Sprintf("%q :\n\t%s", name, raw))
	}
	body := "{ " + strings.Join(parts, " ,\n") + " }"
	body = strings.Replace(body, "1.50", "15e-1", 1)
	if status, a, p := c.post(0, []byte(body)); status != 200 || !a.InputsSigned {
		t.Errorf("%d %+v", status, p)
	}
	if status, a, p := c.post(0, m.Text(t)); status != 200 || !a.Replayed {
		t.Errorf("%d %+v %+v", status, a, p)
	}
}

// TestConfusedSignatures: keys of one algorithm used for the other, lengths swapped, every other way of writing base64, under
// both schemes.
func TestConfusedSignatures(t *testing.T) {
	c := abuse(t, 1)
	public := nodetest.AbusePrivate.Public().(ed25519.PublicKey)
	hmacID, edID := "hmac-", "ed-"
	if k, err := verify.NewHMACKey([]byte(nodetest.AbuseSecret)); err == nil {
		hmacID = k.ID
	}
	if k, err := verify.NewEd25519Key(public); err == nil {
		edID = k.ID
	}
	tried := 0
	for scheme, sign := range map[string]func(nodetest.Members, testing.TB, nodetest.Signer) nodetest.Members{"pcs/1": nodetest.Members.SignPCS1, "pcs/2": nodetest.Members.SignPCS2} {
		base := c.records.Members("confused-"+scheme, 1)
		refuse := func(what string, m nodetest.Members) {
			t.Helper()
			tried++
			if status, _, p := c.post(0, m.Text(t)); status != http.StatusUnauthorized || p.Code != wire.CodeBadSignature || p.Detail != "Signature does not verify" {
				t.Errorf("%s, %s: %d %+v", scheme, what, status, p)
			}
		}
		for what, secret := range map[string][]byte{
			"the public key": public, "its base64": []byte(base64.StdEncoding.EncodeToString(public)), "its hex": []byte(hex.EncodeToString(public)),
			"its base64 with a line feed": []byte(base64.StdEncoding.EncodeToString(public) + "\n"), "its id": []byte(edID), "nothing": {},
			"the id of the secret": []byte(hmacID), "the secret with a line feed": []byte(nodetest.AbuseSecret + "\n"), "the private key": nodetest.AbusePrivate,
		} {
			refuse("a MAC with "+what, sign(base, t, nodetest.MAC(secret)))
		}
		seed := sha256.Sum256([]byte(nodetest.AbuseSecret))
		refuse("Ed25519 with the secret as its seed", sign(base, t, func(b []byte) []byte {
			return ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), b)
		}))
		for what, change := range map[string]func(mac, ed []byte) []byte{
			"the MAC twice": func(mac, _ []byte) []byte { return slices.Concat(mac, mac) }, "the MAC and zeros": func(mac, _ []byte) []byte { return append(mac, make([]byte, 32)...) },
			"half a signature": func(_, ed []byte) []byte { return ed[:32] }, "its other half": func(_, ed []byte) []byte { return ed[32:] },
			"half a MAC": func(mac, _ []byte) []byte { return mac[:16] }, "a MAC and a byte": func(mac, _ []byte) []byte { return append(mac, 0) },
			"a MAC less a byte": func(mac, _ []byte) []byte { return mac[:31] }, "a signature and a byte": func(_, ed []byte) []byte { return append(ed, 0) },
			"a signature less a byte": func(_, ed []byte) []byte { return ed[:63] }, "nothing": func(_, _ []byte) []byte { return nil },
			"32 zeros": func(_, _ []byte) []byte { return make([]byte, 32) }, "64 zeros": func(_, _ []byte) []byte { return make([]byte, 64) },
		} {
			refuse(what, sign(base, t, func(b []byte) []byte {
				return change(nodetest.AbuseSigners["hmac"](b), nodetest.AbuseSigners["ed25519"](b))
			}))
		}
		for alg, signer := range nodetest.AbuseSigners {
			good := sign(base.With("seed", map[string]string{"hmac": "1", "ed25519": "2"}[alg]), t, signer)
			var text string
			if err := json.Unmarshal(good["sig"], &text); err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			for what, variant := range map[string]string{
				"URL alphabet": base64.URLEncoding.EncodeToString(raw), "no padding": strings.TrimRight(text, "="), "more padding": text + "=",
				"a line feed": text[:20] + "\n" + text[20:], "a final line feed": text + "\n", "CR LF": text[:40] + "\r\n" + text[40:], "a space": " " + text,
				"hex": hex.EncodeToString(raw), "twice": base64.StdEncoding.EncodeToString([]byte(text)), "a prefix": "base64:" + text, "stray bits": stray(text),
				"upper case": strings.ToUpper(text), "a NUL": text + "\x00", "full width": strings.Replace(text, text[:1], "\uff21", 1),
			} {
				if variant == text {
					continue // this signature has no letter that the two alphabets write differently
				}
				quoted, err := json.Marshal(variant)
				if err != nil {
					t.Fatal(err)
				}
				refuse(alg+" as base64 with "+what, good.With("sig", string(quoted)))
			}
			if status, a, p := c.post(0, good.Text(t)); status != 200 || a.InputsSigned != (scheme == "pcs/2") {
				t.Errorf("%s %s, as it was written: %d %+v", scheme, alg, status, p)
			}
			for what, raw := range map[string]string{"null": "null", "a number": "1", "a list": "[]"} {
				if status, _, p := c.post(0, good.With("sig", raw).Text(t)); status != http.StatusBadRequest || p.Field != "sig" {
					t.Errorf("%s %s, %s: %d %+v", scheme, alg, what, status, p)
				}
			}
		}
	}
	t.Logf("%d confused signatures refused", tried)
}

// stray sets a bit of the last letter before the padding that stands for no byte.
func stray(text string) string {
	i := strings.IndexByte(text, '=')
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return text[:i-1] + string(letters[strings.IndexByte(letters, text[i-1])|1]) + text[i:]
}
