package e2e

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
)

// suite is a file of Wycheproof; signatures and tags alike are sig here.
type suite struct {
	TestGroups []struct {
		PublicKey struct{ PK string }
		Tests     []struct {
			TcID                                int
			Comment, Key, Msg, Sig, Tag, Result string
		}
	}
}

// vector is one test: what it does to a signature of its kind.
type vector struct {
	name     string
	key, sig []byte
	sibling  []byte // the valid signature of the same message by the same key, nil when the suite has none
	valid    bool
}

func readSuite(t *testing.T, file string) (out []vector) {
	t.Helper()
	var s suite
	b, err := os.ReadFile("../../testdata/external/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	siblings := map[string][]byte{}
	var names []string // message and key of each vector
	for _, g := range s.TestGroups {
		for _, c := range g.Tests {
			v := vector{name: fmt.Sprintf("%s %d (%s)", file, c.TcID, c.Comment), valid: c.Result == "valid"}
			for _, x := range []struct {
				into *[]byte
				text string
			}{{&v.key, g.PublicKey.PK + c.Key}, {&v.sig, c.Sig + c.Tag}} {
				if *x.into, err = hex.DecodeString(x.text); err != nil {
					t.Fatal(err)
				}
			}
			about := g.PublicKey.PK + c.Key + "/" + c.Msg
			if v.valid && len(v.sig) > len(siblings[about]) {
				siblings[about] = v.sig
			}
			names, out = append(names, about), append(out, v)
		}
	}
	for i := range out {
		out[i].sibling = siblings[names[i]]
	}
	return out
}

// done does to a good signature what the vector did to its own: the same bits turned over, the same bytes cut off or added,
// or, where the suite does not show what it was made of, one half or both put in its place.
func (v *vector) done(good []byte) (out [][]byte) {
	switch n := min(len(v.sig), len(good)); {
	case len(v.sig) != len(good):
		return [][]byte{slices.Concat(good[:n], v.sig[n:])}
	case v.sibling != nil && !bytes.Equal(v.sibling, v.sig):
		turned := slices.Clone(good)
		for i := range turned {
			turned[i] ^= v.sig[i] ^ v.sibling[i]
		}
		return [][]byte{turned}
	}
	half := len(good) / 2
	return [][]byte{slices.Concat(v.sig[:half], good[half:]), slices.Concat(good[:half], v.sig[half:])}
}

// inAList: a list of HMAC keys is text and separated by commas.
func inAList(key []byte) bool { return !bytes.ContainsRune(key, ',') && verify.CheckSecret(key) == nil }

// trust puts the keys of the suites into the key files of the cluster and returns how many a node then holds.
func (a *abused) trust(ed, mac []vector) int {
	a.t.Helper()
	secrets, public := map[string]bool{harness.BenchKey: true, nodetest.AbuseSecret: true}, map[string]bool{}
	public[base64.StdEncoding.EncodeToString(nodetest.AbusePrivate.Public().(ed25519.PublicKey))] = true
	for _, v := range ed {
		if _, err := verify.NewEd25519Key(v.key); err == nil { // the others are no keys of a node either
			public[base64.StdEncoding.EncodeToString(v.key)] = true
		}
	}
	for _, v := range mac {
		if inAList(v.key) {
			secrets[string(v.key)] = true
		}
	}
	for name, keys := range map[string]map[string]bool{"pcs_hmac_keys": secrets, "pcs_ed25519_pub_b64": public} {
		text := strings.Join(slices.Sorted(maps.Keys(keys)), ",") + "\n"
		a.must(os.WriteFile(filepath.Join(a.Dir, "keys", name+".key"), []byte(text), 0o600))
	}
	operator := a.HTTP(1)
	a.t.Cleanup(operator.CloseIdleConnections)
	a.await("the keys of the suites", func() bool {
		all, err := a.Metrics(a.ctx, operator, 0)
		return err == nil && int(all["flk_keys"]) == len(secrets)+len(public)
	})
	return len(secrets) + len(public)
}

// TestWycheproofThroughTheAPI: the node trusts every key of the suites that its key files can say. The messages of the suites are no records, so what is
// sent is a record with the signature of each vector, and with its own good signature to which was done what the vector
// does: none passes. Whether a vector's own message verifies is tested in package verify, through the same function.
func TestWycheproofThroughTheAPI(t *testing.T) {
	ed, mac := readSuite(t, "wycheproof-ed25519-test.json"), readSuite(t, "wycheproof-hmac-sha256-test.json")
	if len(ed) != 151 || len(mac) != 174 {
		t.Fatalf("%d and %d vectors", len(ed), len(mac))
	}
	c := abuse(t, 1)
	held := c.trust(ed, mac)
	sent := 0
	refuse := func(what string, m nodetest.Members) {
		t.Helper()
		sent++
		if status, _, p := c.post(0, m.Text(t)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %+v", what, status, p)
		}
	}
	m := c.records.Members("wycheproof", 1)
	for _, v := range slices.Concat(ed, mac) {
		refuse(v.name, m.With("sig_scheme", `"pcs/2"`).Carry(v.sig))
		refuse(v.name, m.Carry(v.sig))
	}
	for _, v := range ed {
		refuseDone(t, v, m, nodetest.AbuseSigners["ed25519"], refuse)
	}
	for i, v := range mac {
		own := c.records.Members(fmt.Sprint("wycheproof-", i), 1)
		refuseDone(t, v, own, nodetest.MAC(v.key), refuse)
		if !inAList(v.key) {
			continue
		}
		if status, a, p := c.post(0, own.SignPCS2(t, nodetest.MAC(v.key)).Text(t)); status != 200 || !a.InputsSigned || a.Replayed {
			t.Errorf("%s: its key does not sign: %d %+v", v.name, status, p)
		}
	}
	t.Logf("%d keys, %d records refused", held, sent)
}

// refuseDone sends what the vector does to the good signature of m, unless it does nothing.
func refuseDone(t *testing.T, v vector, m nodetest.Members, sign nodetest.Signer, refuse func(string, nodetest.Members)) {
	t.Helper()
	if v.valid && len(v.sig) == len(v.sibling) && v.sibling != nil && len(v.sig) >= 32 {
		return
	}
	good := sign(nil)
	for i := range v.done(good) {
		refuse(fmt.Sprintf("%s, done to a good signature (%d)", v.name, i), m.SignPCS2(t, func(msg []byte) []byte { return v.done(sign(msg))[i] }))
	}
}
