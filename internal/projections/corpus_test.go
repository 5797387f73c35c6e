package projections

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

const corpusDir = "../../testdata"

type corpusCase struct {
	ID, Rule, Key, Method, Path string
	Body                        *string
	Chunked                     bool
	Headers                     map[string]string
	Parts                       []struct {
		Text, B64 string
		Count     *int
	}
	Expect struct {
		Status   []int
		Class    string
		Accepted *bool
		PCSID    string    `json:"pcs_id"`
		DHat     []float64 `json:"d_hat"`
		Budget   []float64
		SameAs   string `json:"same_as"`
	}
}

func (c *corpusCase) bytes(t *testing.T) []byte {
	if c.Body != nil {
		return []byte(*c.Body)
	}
	var b bytes.Buffer
	for _, p := range c.Parts {
		piece := []byte(p.Text)
		if p.B64 != "" {
			var err error
			if piece, err = base64.StdEncoding.DecodeString(p.B64); err != nil {
				t.Fatal(err)
			}
		}
		n := 1
		if p.Count != nil {
			n = *p.Count
		}
		b.Write(bytes.Repeat(piece, n))
	}
	return b.Bytes()
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpusDir, name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readCorpus(t *testing.T, name string) []corpusCase {
	t.Helper()
	f, err := os.Open(filepath.Join(corpusDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []corpusCase
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 8<<20)
	for sc.Scan() {
		var c corpusCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// corpusLedger trusts the keys marked trusted.
func corpusLedger(t *testing.T) *ledger {
	var keys struct {
		HMAC map[string]struct {
			Text    string
			Trusted bool
		}
		Ed25519 map[string]struct {
			Hex     string `json:"public_hex"`
			Trusted bool
		}
	}
	readJSON(t, "keys.json", &keys)
	p := verify.DefaultPolicy()
	p.Signature.Profiles |= pcs.ProfilesOf(pcs.Bin) // some clients of the corpus sign so; a policy has to allow it
	l := newLedger(t, p)
	var list []verify.Key
	for _, name := range []string{"hmac-current", "hmac-previous"} {
		if k := keys.HMAC[name]; k.Trusted {
			list = append(list, mustHMAC(k.Text))
		}
	}
	pub, err := hex.DecodeString(keys.Ed25519["ed-main"].Hex)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := verify.NewEd25519Key(pub)
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, ed)
	for _, k := range list {
		l.message(event.KeyAdded, keyAdded(k))
	}
	l.keySet = verify.NewKeySet(list)
	return l
}

// TestCorpus folds the three corpora in order: the first status of each rule and every expectation must come out.
func TestCorpus(t *testing.T) {
	var rules []struct {
		Rule     string
		Statuses []int
	}
	readJSON(t, "rules.json", &rules)
	first := map[string]int{}
	for _, r := range rules {
		first[r.Rule] = r.Statuses[0]
	}
	l := corpusLedger(t)
	seen := map[string]Result{}
	folded := 0
	for _, file := range []string{"good-hmac.ndjson", "good-ed25519.ndjson", "bad-input.ndjson"} {
		for _, c := range readCorpus(t, file) {
			body := c.bytes(t)
			if c.Expect.Class == "http" || first[c.Rule] == 413 || first[c.Rule] == 415 || len(body) > 1<<20 {
				continue // decided before the fold
			}
			r := l.send(body)
			seen[c.ID] = r
			folded++
			checkCase(t, l, &c, r, first[c.Rule], seen)
		}
	}
	if folded < 1100 {
		t.Errorf("only %d cases folded", folded)
	}
}

func checkCase(t *testing.T, l *ledger, c *corpusCase, r Result, status int, seen map[string]Result) {
	t.Helper()
	if r.FactsMismatch {
		t.Errorf("%s: facts mismatch", c.ID)
	}
	if c.Rule == "REPLAY" {
		status = c.Expect.Status[0] // that of the first outcome
	}
	if r.status() != status || status != c.Expect.Status[0] {
		t.Errorf("%s (%s): status %d %s %v %q, want %d", c.ID, c.Rule, r.status(), r.Reason, r.Reasons, r.Detail, status)
		return
	}
	if c.Expect.Accepted != nil && r.Accepted != *c.Expect.Accepted {
		t.Errorf("%s (%s): accepted %v", c.ID, c.Rule, r.Accepted)
	}
	switch class := c.Expect.Class; {
	case class == "replay":
		if !r.Replayed {
			t.Errorf("%s (%s): not a replay", c.ID, c.Rule)
		}
	case class == "ok" && len(r.Reasons) == 0:
	case !slices.ContainsFunc(r.Reasons, func(x verify.Reason) bool { return x.String() == class }):
		t.Errorf("%s (%s): reasons %v, want %s", c.ID, c.Rule, r.Reasons, class)
	case r.Reason.String() != class:
		t.Errorf("%s (%s): reason %s, want %s", c.ID, c.Rule, r.Reason, class)
	}
	if r.status() < 400 && c.Expect.PCSID != "" && r.PCSID != c.Expect.PCSID {
		t.Errorf("%s: pcs_id %s", c.ID, r.PCSID)
	}
	checkValues(t, c, r)
	if c.Expect.SameAs == "" {
		return
	}
	want, ok := seen[c.Expect.SameAs]
	if !ok || r.First == nil || r.First.Seq != want.Seq || r.FirstSeq != want.Seq || !sameAnswer(r.First, &want) {
		t.Errorf("%s: not the answer of %s: %+v", c.ID, c.Expect.SameAs, r)
	}
	if r.Replayed && !sameAnswer(&r, &want) {
		t.Errorf("%s: replay differs from %s", c.ID, c.Expect.SameAs)
	}
}

func checkValues(t *testing.T, c *corpusCase, r Result) {
	if d := c.Expect.DHat; len(d) > 0 && r.HasDHat && !r.Replayed {
		got := float64(r.DHat) / 1e9
		if got < d[0]-2e-9 || got > d[len(d)-1]+2e-9 {
			t.Errorf("%s: D_hat %s outside %v", c.ID, r.DHat, d)
		}
	} else if len(d) > 0 && r.status() < 400 && !r.HasDHat {
		t.Errorf("%s: no D_hat, want %v", c.ID, d)
	}
	if b := c.Expect.Budget; len(b) > 0 && r.status() < 400 {
		if got := float64(r.Budget) / 1e9; math.Abs(got-b[0]) > 2e-9 {
			t.Errorf("%s: budget %s, want %v", c.ID, r.Budget, b[0])
		}
	}
}

func sameAnswer(a, b *Result) bool {
	return a.Outcome == b.Outcome && a.Accepted == b.Accepted && a.status() == b.status() && a.Reason == b.Reason &&
		slices.Equal(a.Reasons, b.Reasons) && a.HasDHat == b.HasDHat && a.DHat == b.DHat && a.Budget == b.Budget &&
		a.PCSID == b.PCSID && a.Policy == b.Policy && a.Detail == b.Detail
}

// TestFactsMismatch: recorded facts that this node's key contradicts are reported and followed all the same.
func TestFactsMismatch(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	good := s.body("one")
	f := l.ingress(good)
	if !f.Valid() {
		t.Fatal("not verified")
	}
	r := l.submit(s.body("another"), f)
	if !r.FactsMismatch || r.Outcome != verify.Accepted {
		t.Errorf("%+v", r)
	}
	if got, err := Row(l.db, r.Seq); err != nil || got.FactsMismatch || got.Outcome != verify.Accepted {
		t.Errorf("%+v %v", got, err)
	}
	if r := l.submit(good, f); r.FactsMismatch || !r.Replayed {
		t.Errorf("%+v", r)
	}
	l.message(event.KeyRetired, &event.KeyRetiredV1{KeyId: f.KeyID})
	l.message(event.KeySecretRetired, &event.KeySecretRetiredV1{KeyId: f.KeyID})
	if r := l.submit(s.body("another"), f); r.FactsMismatch {
		t.Errorf("the recorded facts of a key whose secret is retired stand: %+v", r)
	}
	unknown := f
	unknown.KeyID = "hmac-" + strings.Repeat("0", 16)
	s.epoch = 2
	if r := l.submit(s.body("one"), unknown); r.status() != 401 || r.KeyID != "" {
		t.Errorf("unregistered key: %+v", r)
	}
}

// TestForgedFactsOfEd25519: a node that writes facts of an Ed25519 key under another signature writes a bad signature, on
// every node, whether or not the key was known when the record was checked ahead.
func TestForgedFactsOfEd25519(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	key, err := verify.NewEd25519Key(private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	s := spec{shard: "alpha", root: "a", epoch: 1, dhat: "2.0", slope: 2}
	signed := func(by ed25519.PrivateKey) []byte {
		body := s.body("any")
		rec := pcs.Decode(body)
		payload, err := rec.AppendPayload(nil, pcs.F9)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Replace(body, []byte(rec.Sig), []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(by, payload))), 1)
	}
	forger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	facts := verify.Facts{KeyID: key.ID, Alg: verify.Ed25519, Profile: pcs.F9, Mode: verify.Raw}
	for what, late := range map[string]bool{"known when checked": false, "known when folded": true} {
		l := newLedger(t, verify.DefaultPolicy(), "one")
		l.message(event.KeyAdded, keyAdded(key))
		if late {
			l.blind = NewControl().For(1)
		}
		for _, body := range [][]byte{signed(forger), s.body("one")} {
			if r := l.submit(body, facts); r.status() != 401 || r.Reason != verify.ReasonBadSignature || r.KeyID != "" || r.FactsMismatch {
				t.Errorf("%s, forged: %+v", what, r)
			}
		}
		if r := l.submit(signed(private), facts); r.Outcome != verify.Accepted || r.KeyID != key.ID || r.Replayed {
			t.Errorf("%s, good: %+v", what, r)
		}
	}
}
