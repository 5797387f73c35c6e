package verify

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

func dataFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dataJSON(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(dataFile(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// testKeys is testdata/keys.json.
type testKeys struct {
	HMAC map[string]struct {
		Text    string
		Trusted bool
	}
	Ed25519 map[string]struct {
		SeedHex   string `json:"seed_hex"`
		PublicHex string `json:"public_hex"`
		Trusted   bool
	}
}

func (k *testKeys) private(name string) ed25519.PrivateKey {
	seed, _ := hex.DecodeString(k.Ed25519[name].SeedHex)
	return ed25519.NewKeyFromSeed(seed)
}

func loadKeys(t testing.TB) *testKeys {
	k := new(testKeys)
	dataJSON(t, "keys.json", k)
	return k
}

func mustHMAC(t testing.TB, secret string) Key {
	t.Helper()
	k, err := NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustEd(t testing.TB, pubHex string) Key {
	t.Helper()
	pub, err := hex.DecodeString(pubHex)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewEd25519Key(pub)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// trustedKeys holds the keys that the corpus expects a server to trust.
func trustedKeys(t testing.TB) *KeySet {
	k := loadKeys(t)
	return NewKeySet([]Key{
		mustHMAC(t, k.HMAC["hmac-current"].Text),
		mustHMAC(t, k.HMAC["hmac-previous"].Text),
		mustEd(t, k.Ed25519["ed-main"].PublicHex),
	})
}

var allProfiles = pcs.ProfilesOf(pcs.F9, pcs.Py, pcs.ES, pcs.Go, pcs.GoFold, pcs.PyUTF8, pcs.Ryu, pcs.Bin, pcs.PyBin)

// part is one piece of a corpus body.
type part struct {
	Text  string
	B64   string
	Count *int
}

// corpusLine is one line of the .ndjson files.
type corpusLine struct {
	ID      string
	Body    *string
	Parts   []part
	Method  string
	Path    string
	Alg     string
	Profile string
	Mode    string
	Key     string
	Rule    string
	Expect  struct {
		Status   []int
		Class    string
		Accepted *bool
		PCSID    string     `json:"pcs_id"`
		DHat     []jsonNano `json:"d_hat"`
		Budget   []jsonNano
	}
}

func (l *corpusLine) body(t testing.TB) []byte {
	if l.Body != nil {
		return []byte(*l.Body)
	}
	var b []byte
	for _, p := range l.Parts {
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
		b = append(b, bytes.Repeat(piece, n)...)
	}
	return b
}

func corpus(t testing.TB, name string) []corpusLine {
	t.Helper()
	sc := bufio.NewScanner(bytes.NewReader(dataFile(t, name)))
	sc.Buffer(nil, 8<<20)
	var lines []corpusLine
	for sc.Scan() {
		var l corpusLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines = append(lines, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// jsonNano reads a JSON number of at most nine decimals.
type jsonNano nano.Nano

func (n *jsonNano) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return err
	}
	v, err := nano.Parse(strings.TrimRight(strconv.FormatFloat(f, 'f', 9, 64), "\n"))
	*n = jsonNano(v)
	return err
}

// number makes a wire number from its literal.
func number(t testing.TB, literal string) pcs.Number {
	t.Helper()
	d, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pcs.Number{Literal: literal, Double: d}
}

// goodBody is a record on which every check passes; set overrides members by raw JSON,
// an empty value removes the member.
func goodBody(t testing.TB, set map[string]string) []byte {
	t.Helper()
	m := map[string]string{
		"merkle_root": `"` + strings.Repeat("ab", 32) + `"`, "epoch": "7", "shard_id": `"shard-001"`,
		"schema": `"fractal-lba-kakeya"`, "version": `"0.1"`, "attempt": "1", "sent_at": `"2025-11-03T06:00:07Z"`,
		"seed": "42", "scales": "[2,4,8,16,32]", "N_j": `{"2":2,"4":4,"8":8,"16":16,"32":32}`,
		"coh_star": "0.800000000", "v_star": "[0.1,0.2,0.3]", "D_hat": "1.000000000", "r": "0.500000000",
		"regime": `"sticky"`, "budget": "0.410000000", "sig": `""`,
		"ft": `{"outbox_seq":1,"degraded":false,"fallbacks":[],"clock_skew_ms":0}`,
	}
	for k, v := range set {
		m[k] = v
	}
	if _, ok := set["pcs_id"]; !ok {
		var epoch int64
		var root, shard string
		_ = json.Unmarshal([]byte(m["epoch"]), &epoch)
		_ = json.Unmarshal([]byte(m["merkle_root"]), &root)
		_ = json.Unmarshal([]byte(m["shard_id"]), &shard)
		m["pcs_id"] = `"` + pcs.ID(root, epoch, shard) + `"`
	}
	raw := make(map[string]json.RawMessage, len(m))
	for k, v := range m {
		if v != "" {
			raw[k] = json.RawMessage(v)
		}
	}
	b, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goodRecord decodes goodBody, which must have no structural fault.
func goodRecord(t testing.TB, set map[string]string) *pcs.Record {
	t.Helper()
	rec := pcs.Decode(goodBody(t, set))
	if rec.Fault != nil {
		t.Fatalf("unexpected fault %+v", rec.Fault)
	}
	return rec
}

// message returns what a client of the profile and mode signs.
func message(t testing.TB, rec *pcs.Record, p pcs.Profile, m Mode) []byte {
	t.Helper()
	b, err := rec.AppendPayload(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if m == SHA256 {
		sum := sha256.Sum256(b)
		b = sum[:]
	}
	return b
}

func signHMAC(t testing.TB, rec *pcs.Record, secret string, p pcs.Profile, m Mode) {
	t.Helper()
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(message(t, rec, p, m))
	rec.Sig, rec.HasSig = base64.StdEncoding.EncodeToString(h.Sum(nil)), true
}

func signEd(t testing.TB, rec *pcs.Record, key ed25519.PrivateKey, p pcs.Profile, m Mode) {
	t.Helper()
	rec.Sig, rec.HasSig = base64.StdEncoding.EncodeToString(ed25519.Sign(key, message(t, rec, p, m))), true
}

// someFacts are valid facts for tests that judge content only.
var someFacts = Facts{KeyID: "hmac-0000000000000000", Alg: HMACSHA256, Profile: pcs.F9, Mode: Raw}
