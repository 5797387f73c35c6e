package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

type vectorFile struct {
	HMACKey    string `json:"hmac_key"`
	Ed25519Key string `json:"ed25519_key"`
	Cases      []struct {
		Name   string
		Fields struct {
			PCSID      string `json:"pcs_id"`
			MerkleRoot string `json:"merkle_root"`
			Epoch      int64
			ShardID    string `json:"shard_id"`
			DHat       string `json:"D_hat"`
			CohStar    string `json:"coh_star"`
			R          string
			Budget     string
		}
		Profiles map[string]struct {
			HMAC    map[string]string
			Ed25519 map[string]string
		}
	}
}

func TestGoldenSignatures(t *testing.T) {
	t.Parallel()
	var file vectorFile
	dataJSON(t, "golden/signing_vectors.json", &file)
	keys := loadKeys(t)
	keySet := NewKeySet([]Key{mustHMAC(t, keys.HMAC[file.HMACKey].Text), mustEd(t, keys.Ed25519[file.Ed25519Key].PublicHex)})
	for _, c := range file.Cases {
		rec := &pcs.Record{
			PCSID: c.Fields.PCSID, MerkleRoot: c.Fields.MerkleRoot, ShardID: c.Fields.ShardID, Epoch: c.Fields.Epoch,
			DHat: number(t, c.Fields.DHat), CohStar: number(t, c.Fields.CohStar), R: number(t, c.Fields.R),
			Budget: number(t, c.Fields.Budget), HasSig: true, Signable: true,
		}
		for name, sigs := range c.Profiles {
			profile, err := pcs.ParseProfile(name)
			if err != nil {
				t.Fatal(err)
			}
			for alg, modes := range map[Alg]map[string]string{HMACSHA256: sigs.HMAC, Ed25519: sigs.Ed25519} {
				for modeName, sig := range modes {
					mode, err := ParseMode(modeName)
					if err != nil {
						t.Fatal(err)
					}
					rec.Sig = sig
					checkVector(t, keySet, c.Name, rec, alg, profile, mode)
				}
			}
		}
	}
}

// checkVector: the vector verifies, and counts under the defaults only when one of the
// default profiles means the very same bytes.
func checkVector(t *testing.T, keySet *KeySet, name string, rec *pcs.Record, alg Alg, p pcs.Profile, m Mode) {
	t.Helper()
	payload, err := rec.AppendPayload(nil, p)
	got := keySet.Check(rec, Facts{})
	if err != nil { // bin cannot hold this shard without cutting it
		if p != pcs.Bin || got.Valid() {
			t.Errorf("%s %s: %v, facts %+v", name, p, err, got)
		}
		return
	}
	if !got.Valid() || got.Alg != alg || got.Mode != m {
		t.Errorf("%s %s %s %s: facts %+v", name, alg, p, m, got)
		return
	}
	if same, err := rec.AppendPayload(nil, got.Profile); err != nil || !bytes.Equal(same, payload) {
		t.Errorf("%s %s: found as %s, whose payload differs", name, p, got.Profile)
	}
	exact := Facts{KeyID: got.KeyID, Alg: alg, Profile: p, Mode: m}
	if ok, known := keySet.Recheck(rec, exact); !ok || !known {
		t.Errorf("%s %s %s %s: recheck %v %v", name, alg, p, m, ok, known)
	}
	if hinted := keySet.Check(rec, exact); hinted != got {
		t.Errorf("%s: hint %+v gave %+v, without it %+v", name, exact, hinted, got)
	}
	meant := pcs.DefaultProfiles.Has(p)
	for _, d := range pcs.DefaultProfiles.Slice() {
		b, err := rec.AppendPayload(nil, d)
		meant = meant || err == nil && bytes.Equal(b, payload)
	}
	if rules := DefaultPolicy().Signature; rules.Counts(rec, got) != meant || rules.Counts(rec, exact) != meant {
		t.Errorf("%s %s %s under the defaults: want %v", name, p, m, meant)
	}
}

func TestOptInProfilesRefused(t *testing.T) {
	t.Parallel()
	keySet := NewKeySet([]Key{mustHMAC(t, "k")})
	rec := goodRecord(t, map[string]string{"D_hat": "0.00000123", "shard_id": `"sch\u00e4rfe"`})
	for _, p := range []pcs.Profile{pcs.PyUTF8, pcs.Ryu, pcs.Bin} {
		signHMAC(t, rec, "k", p, SHA256)
		f := keySet.Check(rec, Facts{})
		if f.Profile != p || f.Mode != SHA256 {
			t.Errorf("%s not found: %+v", p, f)
		}
		if rules := DefaultPolicy().Signature; rules.Counts(rec, f) {
			t.Errorf("%s counts by default: %+v", p, f)
		}
	}
	signHMAC(t, rec, "k", pcs.Bin, Raw)
	if f := keySet.Check(rec, Facts{}); f.Valid() {
		t.Errorf("bin over the payload verified: %+v", f)
	}
	if ok, known := keySet.Recheck(rec, Facts{KeyID: keySet.Keys()[0].ID, Alg: HMACSHA256, Profile: pcs.Bin, Mode: Raw}); ok || !known {
		t.Errorf("bin over the payload rechecked: %v %v", ok, known)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	keys := loadKeys(t)
	keySet := trustedKeys(t)
	rec := goodRecord(t, map[string]string{"D_hat": "1.412345679", "coh_star": "0.73456789", "r": "0.871234568", "budget": "0.421234568"})
	forged := map[Alg]string{HMACSHA256: base64.StdEncoding.EncodeToString(make([]byte, 32)), Ed25519: base64.StdEncoding.EncodeToString(make([]byte, 64))}
	keyCount := map[Alg]int{HMACSHA256: 2, Ed25519: 1}
	for alg, sig := range forged {
		rec.Sig = sig
		distinct := map[string]bool{}
		for _, p := range pcs.AllProfiles.Slice() {
			if p != pcs.Bin {
				distinct[string(message(t, rec, p, Raw))] = true
			}
		}
		if len(distinct) == int(pcs.LastProfile)-1 {
			t.Fatal("this record should have coinciding payloads")
		}
		want := (len(distinct)*2 + 1) * keyCount[alg] // bin is signed by its hash only
		hint := Facts{KeyID: keySet.Keys()[0].ID, Alg: alg, Profile: pcs.GoFold, Mode: SHA256}
		if alg == Ed25519 {
			hint.KeyID = keySet.Keys()[2].ID
		}
		for _, h := range []Facts{{}, hint} {
			if f, _, ops := keySet.check(rec, h); f.Valid() || ops != want {
				t.Errorf("%s forgery with hint %+v: %+v, %d operations, want %d", alg, h, f, ops, want)
			}
		}
	}
	signEd(t, rec, keys.private("ed-main"), pcs.GoFold, SHA256)
	hint := Facts{KeyID: keySet.Keys()[2].ID, Alg: Ed25519, Profile: pcs.GoFold, Mode: SHA256}
	if f, hit, ops := keySet.check(rec, hint); f != hint || hit != hint || ops != 1 {
		t.Errorf("right hint: %+v after %d operations", f, ops)
	}
	for _, wrong := range []Facts{{KeyID: "ed-none", Alg: Ed25519, Profile: pcs.GoFold, Mode: SHA256},
		{KeyID: hint.KeyID, Alg: HMACSHA256, Profile: pcs.GoFold, Mode: SHA256}, {KeyID: hint.KeyID, Alg: Ed25519, Profile: pcs.F9, Mode: Raw}} {
		if f := keySet.Check(rec, wrong); f != hint {
			t.Errorf("wrong hint %+v: %+v", wrong, f)
		}
	}
	rules := DefaultPolicy().Signature
	if rules.Profiles = pcs.ProfilesOf(pcs.F9); rules.Counts(rec, hint) {
		t.Error("a profile outside the allowed ones counts")
	}
}

func TestStrictBase64(t *testing.T) {
	t.Parallel()
	keySet := NewKeySet([]Key{mustHMAC(t, "k")})
	rec := goodRecord(t, nil)
	signHMAC(t, rec, "k", pcs.F9, Raw)
	good := rec.Sig
	if !keySet.Check(rec, Facts{}).Valid() {
		t.Fatal("the good spelling does not verify")
	}
	raw, _ := base64.StdEncoding.DecodeString(good)
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	tail := alphabet[strings.IndexByte(alphabet, good[42])|1]
	for name, sig := range map[string]string{
		"empty": "", "no padding": good[:43], "newline inside": good[:10] + "\n" + good[10:], "newline for padding": good[:43] + "\n",
		"newline at end": good + "\n", "tail bits": good[:42] + string(tail) + "=", "space": good[:43] + " ", "hex": hex.EncodeToString(raw),
		"truncated": base64.StdEncoding.EncodeToString(raw[:31]), "longer": base64.StdEncoding.EncodeToString(append(raw, 0)),
		"double padding": good[:42] + "==", "88 newlines": strings.Repeat("\n", 44) + good, "nul": good[:43] + "\x00",
	} {
		if rec.Sig = sig; keySet.Check(rec, Facts{}).Valid() {
			t.Errorf("%s verified", name)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if _, err := NewHMACKey(nil); !errors.Is(err, ErrEmptySecret) {
		t.Errorf("empty secret: %v", err)
	}
	// Points of order 1, 2, 4 and 8 (RFC 7748 torsion), non-canonical spellings of them,
	// a y that is on no point, and a wrong length.
	for _, bad := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0200000000000000000000000000000000000000000000000000000000000000",
		"01", "",
	} {
		pub, _ := hex.DecodeString(bad)
		if _, err := NewEd25519Key(pub); !errors.Is(err, ErrBadPublicKey) {
			t.Errorf("key %s: %v", bad, err)
		}
	}
	for i := range 64 {
		seed := bytes.Repeat([]byte{byte(i)}, 32)
		if _, err := NewEd25519Key(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)); err != nil {
			t.Errorf("seed %d: %v", i, err)
		}
	}
	// Values are for ever: ids and fingerprints are in the log.
	k := loadKeys(t)
	h, e := mustHMAC(t, k.HMAC["hmac-current"].Text), mustEd(t, k.Ed25519["ed-main"].PublicHex)
	if !strings.HasPrefix(h.ID, "hmac-") || h.ID[5:] != hex.EncodeToString(h.Fingerprint[:8]) || !h.HasMaterial() {
		t.Errorf("HMAC key %+v", h)
	}
	if !strings.HasPrefix(e.ID, "ed-") || e.ID[3:] != hex.EncodeToString(e.Fingerprint[:8]) || !e.HasMaterial() {
		t.Errorf("Ed25519 key %+v", e)
	}
}

func TestRecheckWithoutSecret(t *testing.T) {
	t.Parallel()
	full := mustHMAC(t, "k")
	rec := goodRecord(t, nil)
	signHMAC(t, rec, "k", pcs.Py, Raw)
	facts := NewKeySet([]Key{full}).Check(rec, Facts{})
	bare := full
	bare.Secret = nil
	keySet := NewKeySet([]Key{bare})
	if f := keySet.Check(rec, facts); f.Valid() {
		t.Errorf("verified without the secret: %+v", f)
	}
	if ok, known := keySet.Recheck(rec, facts); ok || known {
		t.Errorf("rechecked without the secret: %v %v", ok, known)
	}
	if ok, known := NewKeySet(nil).Recheck(rec, facts); ok || known {
		t.Errorf("rechecked without the key: %v %v", ok, known)
	}
	other := facts
	other.Mode = SHA256
	if ok, known := NewKeySet([]Key{full}).Recheck(rec, other); ok || !known {
		t.Errorf("other facts: %v %v", ok, known)
	}
	other = facts
	other.Profile = 99
	if ok, known := NewKeySet([]Key{full}).Recheck(rec, other); ok || !known {
		t.Errorf("unknown profile: %v %v", ok, known)
	}
}

// One key's material must never serve the other algorithm.
func TestKeyConfusion(t *testing.T) {
	t.Parallel()
	k := loadKeys(t)
	ed := mustEd(t, k.Ed25519["ed-main"].PublicHex)
	mixed := ed
	mixed.Secret = ed.Public // a wrongly filled key
	keySet := NewKeySet([]Key{mixed})
	rec := goodRecord(t, nil)
	signHMAC(t, rec, string(ed.Public), pcs.F9, Raw)
	if f := keySet.Check(rec, Facts{KeyID: ed.ID, Alg: HMACSHA256, Profile: pcs.F9, Mode: Raw}); f.Valid() {
		t.Errorf("a public key served as an HMAC key: %+v", f)
	}
}

func TestRingIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	keySet := trustedKeys(t)
	secret := loadKeys(t).HMAC["hmac-previous"].Text
	var wg sync.WaitGroup
	for p := pcs.F9; p <= pcs.GoFold; p++ {
		rec := goodRecord(t, nil)
		signHMAC(t, rec, secret, p, SHA256)
		wg.Go(func() {
			for range 200 {
				f := keySet.Check(rec, Facts{})
				if ok, known := keySet.Recheck(rec, f); !ok || !known {
					t.Errorf("%s: %+v %v %v", p, f, ok, known)
					return
				}
			}
		})
	}
	wg.Wait()
}
