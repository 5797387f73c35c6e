package nodetest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/sign"
)

// testdata is the directory of the published records, relative to any package below internal/.
const testdata = "../../testdata"

// Record describes how a test record differs from the published one that it is made of. Records with the same Shard,
// Epoch and Root have the same id.
type Record struct {
	Shard   string
	Epoch   int64
	Root    string // any text; its SHA-256 becomes the merkle_root
	Wrong   bool   // claims a D_hat that the counts do not bear out: escalated, d_hat_mismatch
	Attempt int    // unsigned and without meaning for the ledger
	Forged  bool   // signed with a key that no node holds
	Near    bool   // claims another D_hat within the tolerance: other signed values, accepted all the same
	Bare    bool   // carries no signature
	Key     string // HMAC secret that signs; empty for the key that the nodes hold
}

// ID is the pcs_id of the record.
func (r Record) ID() string { return pcs.ID(r.root(), r.Epoch, r.Shard) }

func (r Record) root() string {
	sum := sha256.Sum256([]byte(r.Root))
	return hex.EncodeToString(sum[:])
}

// Records makes signed records out of a published record that is accepted.
type Records struct {
	t    testing.TB
	base map[string]json.RawMessage
	key  string
}

// NewRecords reads the published records and keys.
func NewRecords(t testing.TB) *Records {
	t.Helper()
	return &Records{t: t, base: acceptedBody(t), key: trustedKey(t)}
}

// Sign makes the body of a record.
func (f *Records) Sign(r Record) []byte {
	f.t.Helper()
	members := make(map[string]json.RawMessage, len(f.base))
	for name, value := range f.base {
		members[name] = value
	}
	for name, value := range map[string]any{
		"pcs_id":      r.ID(),
		"shard_id":    r.Shard,
		"epoch":       r.Epoch,
		"merkle_root": r.root(),
		"attempt":     r.Attempt + 1,
		"sig":         "",
	} {
		raw, err := json.Marshal(value)
		must(f.t, err)
		members[name] = raw
	}
	if r.Wrong {
		members["D_hat"] = json.RawMessage("3.000000000")
	}
	if r.Near {
		at, err := strconv.ParseFloat(string(f.base["D_hat"]), 64)
		must(f.t, err)
		members["D_hat"] = json.RawMessage(strconv.FormatFloat(at+0.01, 'f', 9, 64))
	}
	unsigned, err := json.Marshal(members)
	must(f.t, err)
	if r.Bare {
		return unsigned
	}
	secret := f.key
	if r.Key != "" {
		secret = r.Key
	}
	if r.Forged {
		secret += " forged"
	}
	key, err := sign.NewHMACKey([]byte(secret))
	must(f.t, err)
	signer, err := sign.New(key, sign.Options{Scheme: sign.PCS1, Profile: "f9"})
	must(f.t, err)
	body, err := signer.Sign(unsigned)
	must(f.t, err)
	return body
}

func trustedKey(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testdata, "keys.json"))
	must(t, err)
	var keys struct {
		HMAC map[string]struct{ Text string } `json:"hmac"`
	}
	must(t, json.Unmarshal(raw, &keys))
	return keys.HMAC["hmac-current"].Text
}

func acceptedBody(t testing.TB) map[string]json.RawMessage {
	t.Helper()
	f, err := os.Open(filepath.Join(testdata, "good-hmac.ndjson"))
	must(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			Profile, Mode, Key, Body string
			Expect                   struct{ Status []int }
		}
		must(t, json.Unmarshal(lines.Bytes(), &l))
		if l.Profile == "f9" && l.Mode == "raw" && l.Key == "hmac-current" &&
			slices.Equal(l.Expect.Status, []int{200}) {
			var body map[string]json.RawMessage
			must(t, json.Unmarshal([]byte(l.Body), &body))
			return body
		}
	}
	must(t, fmt.Errorf("no accepted record in the published ones: %w", lines.Err()))
	return nil
}
