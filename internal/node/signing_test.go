package node_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
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
	c := nodetest.Start(t, 1, abuseKeys(t))
	unnoticed, refused := 0, 0
	for alg, sign := range abuseSigners {
		m := abuseRecord(t, "whole-"+alg, 5).whole(t, sign)
		for what, x := range alterations(t, m) {
			body := x.text(t)
			want := http.StatusUnauthorized
			if pcs.Decode(body).Fault != nil {
				want = http.StatusBadRequest
			}
			if status, _, p := post(c, 0, body); status != want || p.First != nil {
				t.Errorf("pcs/2 %s, %s: status %d, want %d: %+v", alg, what, status, want, p)
			}
			refused++
		}
		if status, a, p := post(c, 0, m.text(t)); status != 200 || a.Replayed || !a.InputsSigned {
			t.Errorf("pcs/2 %s as signed: %d %+v %+v", alg, status, a, p)
		}
		m = abuseRecord(t, "eight-"+alg, 5).eight(t, sign)
		if status, a, p := post(c, 0, m.text(t)); status != 200 || a.InputsSigned {
			t.Fatalf("pcs/1 %s: %d %+v %+v", alg, status, a, p)
		}
		for what, x := range alterations(t, m) {
			body, name, _ := x.text(t), strings.Fields(what)[0], 0
			status, a, p := post(c, 0, body)
			switch {
			case pcs.Decode(body).Fault != nil:
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
}

// sameSigned: digits beyond the ninth are no part of a signed value.
func sameSigned(a, b members, t *testing.T) bool {
	x, y := pcs.Decode(a.text(t)), pcs.Decode(b.text(t))
	return x.SignedDigest(x.Tuple(pcs.F9)) == y.SignedDigest(y.Tuple(pcs.F9))
}

// TestSpellingIsNotSigned: what a proxy may do to JSON does not break a signature of pcs/2.
func TestSpellingIsNotSigned(t *testing.T) {
	c := nodetest.Start(t, 1, abuseKeys(t))
	m := abuseRecord(t, "spelling", 1).whole(t, abuseSigners["hmac"])
	var parts []string
	for name, raw := range m { // in any order
		parts = append(parts, fmt.Sprintf("%q :\n\t%s", name, raw))
	}
	body := "{ " + strings.Join(parts, " ,\n") + " }"
	body = strings.Replace(body, "1.50", "15e-1", 1)
	if status, a, p := post(c, 0, []byte(body)); status != 200 || !a.InputsSigned {
		t.Errorf("%d %+v", status, p)
	}
	if status, a, p := post(c, 0, m.text(t)); status != 200 || !a.Replayed {
		t.Errorf("%d %+v %+v", status, a, p)
	}
}

// TestConfusedSignatures: keys of one algorithm used for the other, lengths swapped, every other way of writing base64, under
// both schemes.
func TestConfusedSignatures(t *testing.T) {
	c := nodetest.Start(t, 1, abuseKeys(t))
	public := abusePrivate.Public().(ed25519.PublicKey)
	hmacID, edID := "hmac-", "ed-"
	if k, err := verify.NewHMACKey([]byte(abuseSecret)); err == nil {
		hmacID = k.ID
	}
	if k, err := verify.NewEd25519Key(public); err == nil {
		edID = k.ID
	}
	tried := 0
	for scheme, sign := range map[string]func(members, *testing.T, signWith) members{"pcs/1": members.eight, "pcs/2": members.whole} {
		base := abuseRecord(t, "confused-"+scheme, 1)
		refuse := func(what string, m members) {
			t.Helper()
			tried++
			if status, _, p := post(c, 0, m.text(t)); status != http.StatusUnauthorized || p.Code != wire.CodeBadSignature || p.Detail != "Signature does not verify" {
				t.Errorf("%s, %s: %d %+v", scheme, what, status, p)
			}
		}
		for what, secret := range map[string][]byte{
			"the public key": public, "its base64": []byte(base64.StdEncoding.EncodeToString(public)), "its hex": []byte(hex.EncodeToString(public)),
			"its base64 with a line feed": []byte(base64.StdEncoding.EncodeToString(public) + "\n"), "its id": []byte(edID), "nothing": {},
			"the id of the secret": []byte(hmacID), "the secret with a line feed": []byte(abuseSecret + "\n"), "the private key": abusePrivate,
		} {
			refuse("a MAC with "+what, sign(base, t, macWith(secret)))
		}
		seed := sha256.Sum256([]byte(abuseSecret))
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
			refuse(what, sign(base, t, func(b []byte) []byte { return change(abuseSigners["hmac"](b), abuseSigners["ed25519"](b)) }))
		}
		for alg, signer := range abuseSigners {
			good := sign(base.with("seed", map[string]string{"hmac": "1", "ed25519": "2"}[alg]), t, signer)
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
				refuse(alg+" as base64 with "+what, good.with("sig", string(quoted)))
			}
			if status, a, p := post(c, 0, good.text(t)); status != 200 || a.InputsSigned != (scheme == "pcs/2") {
				t.Errorf("%s %s, as it was written: %d %+v", scheme, alg, status, p)
			}
			for what, raw := range map[string]string{"null": "null", "a number": "1", "a list": "[]"} {
				if status, _, p := post(c, 0, good.with("sig", raw).text(t)); status != http.StatusBadRequest || p.Field != "sig" {
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

// TestReplaysOfSignedRecords: to another node, after a restart of all, after a failover; the same record gets the same answer,
// one with other inputs is refused under pcs/2 and changes nothing under pcs/1.
func TestReplaysOfSignedRecords(t *testing.T) {
	c := nodetest.Start(t, 3, abuseKeys(t))
	two := abuseRecord(t, "replay-2", 4).whole(t, abuseSigners["ed25519"])
	one := abuseRecord(t, "replay-1", 4).eight(t, abuseSigners["hmac"])
	_, firstTwo, _ := post(c, 0, two.text(t))
	_, firstOne, _ := post(c, 0, one.text(t))
	if firstTwo.Outcome != wire.OutcomeAccepted || !firstTwo.InputsSigned || firstOne.Outcome != wire.OutcomeAccepted || firstOne.InputsSigned {
		t.Fatalf("%+v %+v", firstTwo, firstOne)
	}
	again := func(when string, i int) {
		t.Helper()
		for _, x := range []struct {
			m     members
			first wire.SubmitAnswer
		}{{two, firstTwo}, {one, firstOne}} {
			status, a, p := post(c, i, x.m.text(t))
			if status != 200 || !a.Replayed || a.Seq != x.first.Seq || a.InputsSigned != x.first.InputsSigned || a.ReceivedAt != x.first.ReceivedAt || a.Node != x.first.Node {
				t.Errorf("%s, node %d: %d %+v %+v", when, i+1, status, a, p)
			}
		}
		if status, _, p := post(c, i, two.with("N_j", `{"2":2}`).text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/2 with other counts: %d %+v", when, i+1, status, p)
		}
		if status, _, p := post(c, i, without(two, "sig_scheme").text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/2 without its member: %d %+v", when, i+1, status, p)
		}
		if status, a, p := post(c, i, one.with("N_j", `{"2":2}`).text(t)); status != 200 || !a.Replayed || a.Seq != firstOne.Seq {
			t.Errorf("%s, node %d, pcs/1 with other counts: %d %+v %+v", when, i+1, status, a, p)
		}
		if status, a, p := post(c, i, one.with("sig_scheme", `"pcs/2"`).text(t)); status != 401 {
			t.Errorf("%s, node %d, pcs/1 that says pcs/2: %d %+v %+v", when, i+1, status, a, p)
		}
	}
	for i := range 3 {
		again("at once", i)
	}
	stopAll(c)
	for i := range 3 {
		c.Restart(i)
	}
	for i := range 3 {
		c.AwaitReady(i)
		again("after a restart", i)
	}
	old := c.Leader()
	c.Stop(old)
	c.Await("another leader", func() error {
		if now := c.Leader(); now == old {
			return fmt.Errorf("still node %d", old+1)
		}
		return nil
	})
	for i := range 3 {
		if i != old {
			c.AwaitReady(i)
			again("after a failover", i)
		}
	}
	c.Restart(old)
	c.AwaitReady(old)
	again("back again", old)
	c.Check()
}

func without(m members, name string) members {
	out := maps.Clone(m)
	delete(out, name)
	return out
}

// TestPolicyAsksForWholeRecords: once the policy takes pcs/2 only, records of pcs/1 are refused with a reason that tells, even
// repetitions of accepted ones, good or forged; recounting takes away what they had.
func TestPolicyAsksForWholeRecords(t *testing.T) {
	c := nodetest.Start(t, 3, abuseKeys(t))
	r := newRecounter(t, c)
	base := abuseRecord(t, "policy", 2)
	one, two := base.with("N_j", `{"2":2,"4":4}`).eight(t, abuseSigners["hmac"]), base.whole(t, abuseSigners["hmac"]) // the counts of the first were changed on the way
	other := abuseRecord(t, "policy-2", 2).whole(t, abuseSigners["hmac"])
	if status, a, p := post(c, 0, one.text(t)); status != 202 || a.InputsSigned {
		t.Fatalf("%d %+v %+v", status, a, p)
	}
	if status, a, _ := post(c, 1, two.text(t)); status != 202 || !a.Replayed || a.InputsSigned {
		t.Errorf("%d %+v", status, a)
	}
	if status, a, _ := post(c, 2, other.text(t)); status != 200 || !a.InputsSigned {
		t.Errorf("%d %+v", status, a)
	}
	id := r.publish("signature: {schemes: [pcs/2]}\n")
	applied, err := c.Client.ApplyPolicy(r.ctx, id, wire.ApplyRequest{Act: wire.Act{Reason: "inputs must be signed", Ticket: "T-2"}})
	r.must(err)
	c.Await("the policy on every node", func() error {
		for i := range 3 {
			if d, err := c.At(i).Digest(r.ctx, 0); err != nil || d.Seq < applied.Seq {
				return fmt.Errorf("node %d: %+v %v", i+1, d, err)
			}
		}
		return nil
	})
	for i := range 3 {
		for what, m := range map[string]members{"good": one, "forged": one.carry(make([]byte, 32)), "new": abuseRecord(t, "policy-3", 1).eight(t, abuseSigners["hmac"])} {
			status, _, p := post(c, i, m.text(t))
			if status != 401 || p.Code != wire.CodeBadSignature || !strings.Contains(p.Detail, "scheme pcs/2 only") {
				t.Errorf("node %d, pcs/1, %s: %d %+v", i+1, what, status, p)
			}
		}
		if status, a, p := post(c, i, other.text(t)); status != 200 || !a.Replayed || !a.InputsSigned {
			t.Errorf("node %d, pcs/2: %d %+v %+v", i+1, status, a, p)
		}
	}
	number := r.start(id)
	r.activate(number, r.diff(number).Digest)
	r.everywhere(pcs.Decode(two.text(t)).PCSID, func(a *wire.PCSAnswer) error {
		if a.Outcome != wire.OutcomeAccepted || !a.InputsSigned || len(a.History) < 2 {
			return fmt.Errorf("not the record of pcs/2")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	signed := map[bool]int{}
	for item, err := range c.Client.Audit(ctx, client.AuditQuery{Outcome: wire.OutcomeAccepted}) {
		r.must(err)
		signed[item.InputsSigned]++
	}
	if signed[true] != 2 || signed[false] != 0 {
		t.Errorf("accepted, by whether the inputs are signed: %v", signed)
	}
	c.Check()
}
