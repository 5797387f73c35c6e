package node_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
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

// TestWycheproofThroughTheAPI: the node trusts every key of the suites. The messages of the suites are no records, so what is
// sent is a record with the signature of each vector, and with its own good signature to which was done what the vector
// does: none passes. Whether a vector's own message verifies is tested in package verify, through the same function.
func TestWycheproofThroughTheAPI(t *testing.T) {
	ed, mac := readSuite(t, "wycheproof-ed25519-test.json"), readSuite(t, "wycheproof-hmac-sha256-test.json")
	if len(ed) != 151 || len(mac) != 174 {
		t.Fatalf("%d and %d vectors", len(ed), len(mac))
	}
	var keys []verify.Key
	for _, v := range ed {
		if k, err := verify.NewEd25519Key(v.key); err == nil { // the others are no keys of a node either
			keys = append(keys, k)
		}
	}
	for _, v := range mac {
		k, err := verify.NewHMACKey(v.key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	ring := verify.NewRing(keys).Keys() // each once
	c := nodetest.Start(t, 1, abuseKeys(t), func(cfg *node.Config) { cfg.Keys = slices.Concat(cfg.Keys, ring) })
	sent := 0
	refuse := func(what string, m members) {
		t.Helper()
		sent++
		if status, _, p := post(c, 0, m.text(t)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %+v", what, status, p)
		}
	}
	m := abuseRecord(t, "wycheproof", 1)
	for _, v := range slices.Concat(ed, mac) {
		refuse(v.name, m.with("sig_scheme", `"pcs/2"`).carry(v.sig))
		refuse(v.name, m.carry(v.sig))
	}
	for _, v := range ed {
		refuseDone(t, v, m, abuseSigners["ed25519"], refuse)
	}
	for i, v := range mac {
		own := abuseRecord(t, fmt.Sprint("wycheproof-", i), 1)
		refuseDone(t, v, own, macWith(v.key), refuse)
		if status, a, p := post(c, 0, own.whole(t, macWith(v.key)).text(t)); status != 200 || !a.InputsSigned || a.Replayed {
			t.Errorf("%s: its key does not sign: %d %+v", v.name, status, p)
		}
	}
	t.Logf("%d keys, %d records refused", len(ring), sent)
}

// refuseDone sends what the vector does to the good signature of m, unless it does nothing.
func refuseDone(t *testing.T, v vector, m members, sign signWith, refuse func(string, members)) {
	t.Helper()
	if v.valid && len(v.sig) == len(v.sibling) && v.sibling != nil && len(v.sig) >= 32 {
		return
	}
	good := sign(nil)
	for i := range v.done(good) {
		refuse(fmt.Sprintf("%s, done to a good signature (%d)", v.name, i), m.whole(t, func(msg []byte) []byte { return v.done(sign(msg))[i] }))
	}
}
