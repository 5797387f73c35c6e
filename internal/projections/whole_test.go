package projections

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// The digests of the log of TestGoldenWhole under a policy that takes both schemes, pcs/2 only and pcs/1 only.
const (
	goldenBoth = "d812daaa8a42e7d8ae06f23abc710a554278822972f86d19bb7cc91faf653a5f"
	goldenTwo  = "748028e911a3aaa7bb0317c21a2b7aa58aea9c357419a012f43d3261c86dd8e0"
	goldenOne  = "b540429c56c2c18da6fd6c5d98948bcc85b3fbcfabd628acf49f669f5c408bc9"
)

// TestGoldenWhole folds the published records of pcs/2 by both algorithms, between records of pcs/1.
func TestGoldenWhole(t *testing.T) {
	var golden struct {
		Cases []struct{ Record, HMAC, Ed25519 string }
	}
	raw, err := os.ReadFile("../../testdata/golden/signing_v2.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	l, sent := corpusLedger(t), 0
	first := l.seq + 1
	for i, c := range golden.Cases {
		for _, sig := range []string{c.HMAC, c.Ed25519} {
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(c.Record), &m); err != nil {
				t.Fatal(err)
			}
			m["sig"] = json.RawMessage(`"` + sig + `"`)
			body, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if r := l.send(body); !r.Facts.InputsSigned() || r.status() >= 400 && r.status() != 409 {
				t.Errorf("case %d: %+v", i, r)
			}
			sent++
		}
		if r := l.send(spec{shard: "one", root: "a", epoch: int64(i), dhat: "2.0", slope: 2}.body(corpusSecret(t))); r.status() != 200 || r.Facts.InputsSigned() {
			t.Errorf("pcs/1 %d: %+v", i, r)
		}
	}
	if sent != 2*14 {
		t.Errorf("%d records of pcs/2", sent)
	}
	_, digest := l.gen.Digest()
	if got := hex.EncodeToString(digest[:]); got != goldenBoth {
		t.Errorf("both: %s", got)
	}
	for _, c := range []struct {
		scheme pcs.Scheme
		want   string
		flips  int
	}{{pcs.PCS2, goldenTwo, len(golden.Cases)}, {pcs.PCS1, goldenOne, sent}} {
		p := verify.DefaultPolicy()
		p.Signature.Profiles |= pcs.ProfilesOf(pcs.Bin)
		p.Signature.Schemes = pcs.SchemesOf(c.scheme)
		number := l.start(l.publish(p), first)
		g, db := l.second(number)
		_, d := g.Digest()
		if got := hex.EncodeToString(d[:]); got != c.want {
			t.Errorf("%s only: %s", c.scheme, got)
		}
		if flips := l.flips(number, db); len(flips) != c.flips {
			t.Errorf("%s only: %d flips, want %d", c.scheme, len(flips), c.flips)
		}
		l.message(event.GenerationDropped, &event.GenerationDroppedV1{Generation: number, Op: &event.OpV1{}})
	}
}

func corpusSecret(t *testing.T) string {
	t.Helper()
	var keys struct {
		HMAC map[string]struct{ Text string }
	}
	raw, err := os.ReadFile("../../testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	return keys.HMAC["hmac-current"].Text
}

// whole is the record of s, signed under pcs/2.
func (s spec) whole(secret string) []byte {
	unsigned := bytes.Replace(s.body(secret), []byte(`{`), []byte(`{"sig_scheme":"pcs/2",`), 1)
	rec := pcs.Decode(unsigned)
	msg, ok := rec.PCS2Message(nil)
	if !ok {
		panic("no message of pcs/2")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(msg)
	return bytes.Replace(unsigned, []byte(rec.Sig), []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), 1)
}

// TestSchemeRecount: a policy that takes pcs/2 only refuses what pcs/1 had let in, here a record whose counts were changed on
// the way, and the honest repetition of it under pcs/2 takes its place.
func TestSchemeRecount(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	good := spec{shard: "alpha", root: "a", epoch: 3, dhat: "2.0", slope: 2}
	altered := good
	altered.slope = 1 // the counts are not signed under pcs/1
	first, honest, plain := l.send(altered.body("one")), l.send(good.whole("one")), l.send(spec{shard: "beta", root: "a", epoch: 1, dhat: "2.0", slope: 2}.whole("one"))
	if first.status() != 202 || first.Accepted || honest.status() != 202 || !honest.Replayed || !honest.Evidence || plain.status() != 200 {
		t.Fatalf("%+v\n%+v\n%+v", first, honest, plain)
	}
	p := verify.DefaultPolicy()
	p.Signature.Schemes = pcs.SchemesOf(pcs.PCS2)
	number := l.start(l.publish(p), 1)
	_, db := l.second(number)
	flips := l.flips(number, db)
	if len(flips) != 2 || flips[0].Seq != first.Seq || flips[1].Seq != honest.Seq {
		t.Fatalf("%+v", flips)
	}
	if n := flips[0].New; n.status() != 401 || n.Reason != verify.ReasonBadSignature || n.KeyID != "" || !flips[0].Direct {
		t.Errorf("%+v", flips[0])
	}
	if n := flips[1].New; n.status() != 200 || !n.Accepted || n.Replayed || !n.Facts.InputsSigned() || flips[1].Direct {
		t.Errorf("%+v", flips[1])
	}
}

// TestFaultyFacts: facts that do not fit the record, as a faulty node might record them, are noticed by every node that has
// the key; those of another scheme than the record names are ignored even where nobody has it.
func TestFaultyFacts(t *testing.T) {
	s := spec{shard: "alpha", root: "a", epoch: 3, dhat: "2.0", slope: 2}
	id := mustHMAC("one").ID
	v1 := verify.Facts{KeyID: id, Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Raw}
	v2 := verify.Facts{KeyID: id, Alg: verify.HMACSHA256, Profile: pcs.F9, Mode: verify.Whole}
	named := bytes.Replace(s.body("one"), []byte(`{`), []byte(`{"sig_scheme":"pcs/2",`), 1) // says pcs/2, signed as pcs/1
	bare := bytes.Replace(s.whole("one"), []byte(`"sig_scheme":"pcs/2",`), nil, 1)
	for name, c := range map[string]struct {
		body   []byte
		facts  verify.Facts
		status int
	}{
		"pcs/2 signed as pcs/1, recorded so": {named, v1, 401}, "pcs/2 signed as pcs/1, recorded as pcs/2": {named, v2, 200},
		"the member taken away": {bare, v2, 401}, "the member taken away, recorded as pcs/1": {bare, v1, 200},
		"pcs/1 recorded as pcs/2": {s.body("one"), v2, 401}, "pcs/2 recorded as pcs/1": {s.whole("one"), v1, 401},
	} {
		for _, secrets := range [][]string{{"one"}, nil} {
			l := newLedger(t, verify.DefaultPolicy(), secrets...)
			l.message(event.KeyAdded, keyAdded(mustHMAC("one")))
			if r := l.submit(c.body, c.facts); r.status() != c.status || (r.KeyID == "") != (c.status == 401) || r.FactsMismatch != (secrets != nil) || r.Occupied != (c.status == 200) {
				t.Errorf("%s, keys %v: %+v", name, secrets, r)
			}
		}
	}
	l := newLedger(t, verify.DefaultPolicy(), "one")
	if r := l.send(s.whole("one")); r.status() != 200 || r.FactsMismatch {
		t.Errorf("%+v", r)
	}
}

// TestReplayAtTheTTL: a repetition is one up to the last nanosecond of the dedup period, counted from the judgement that
// stands, and is judged anew one later; under both schemes, and not by the clock of the receiving node.
func TestReplayAtTheTTL(t *testing.T) {
	ttl := verify.DefaultPolicy().Params.DedupTTL
	for name, body := range map[string]func(spec) []byte{
		"pcs/1": func(s spec) []byte { return s.body("one") }, "pcs/2": func(s spec) []byte { return s.whole("one") },
	} {
		l := newLedger(t, verify.DefaultPolicy(), "one")
		s := spec{shard: "alpha", root: "a", epoch: 3, dhat: "2.0", slope: 2}
		first, start := l.send(body(s)), l.now
		for _, c := range []struct {
			at                   int64
			attempt              int
			replayed, reverified bool
		}{{start, 1, true, false}, {start + ttl - 1, 2, true, false}, {start + ttl, 3, true, false}, {start + ttl + 1, 4, false, true},
			{start + ttl + 1 + ttl, 5, true, false}, {start + ttl + 2 + ttl, 6, false, true}} {
			l.now, s.attempt = c.at, c.attempt
			r := l.send(body(s))
			if r.status() != 200 || r.Replayed != c.replayed || r.Reverified != c.reverified || r.FirstSeq != first.Seq || r.MovedMark {
				t.Errorf("%s at +%d: %+v", name, c.at-start, r)
			}
			if c.replayed && r.JudgedSeq == r.Seq || !c.replayed && r.JudgedSeq != r.Seq {
				t.Errorf("%s at +%d: judged by %d", name, c.at-start, r.JudgedSeq)
			}
		}
		l.now += ttl / 2
		tampered := bytes.Replace(body(s), []byte(`"seed":0`), []byte(`"seed":9`), 1)
		want := map[string]int{"pcs/1": 200, "pcs/2": 401}[name] // kept as evidence beside what stands, or refused
		if r := l.send(tampered); r.status() != want || r.Evidence != (want == 200) {
			t.Errorf("%s with another seed: %+v", name, r)
		}
	}
}
