package sample

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/sign"
)

const secret = "sample: a secret of the tests only"

// TestSamplesAreAccepted holds the template against the default policy, with and without a signature.
func TestSamplesAreAccepted(t *testing.T) {
	records, err := New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	keySet := verify.NewKeySet([]verify.Key{key})
	for name, c := range map[string]struct {
		record func(string, int64) ([]byte, error)
		want   verify.Outcome
	}{
		"signed":   {records.Signed, verify.Accepted},
		"unsigned": {records.Unsigned, verify.Refused},
	} {
		body, err := c.record("lab-1", 7)
		if err != nil {
			t.Fatal(err)
		}
		rec := pcs.Decode(body)
		got := verify.Evaluate(verify.DefaultPolicy(), rec, keySet.Check(rec, verify.Facts{}), 0)
		if got.Outcome != c.want || rec.ShardID != "lab-1" {
			t.Errorf("%s: %v (%v), want %v: %s", name, got.Outcome, got.Reason, c.want, body)
		}
	}
}

// TestRepetition: the same arguments give the same record, which a node answers as a repetition. Another epoch, shard
// or value of Records gives another one.
func TestRepetition(t *testing.T) {
	text := func(r *Records, shard string, epoch int64) []byte {
		t.Helper()
		body, err := r.Signed(shard, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	first, err := New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	second, err := New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	body := text(first, "lab-1", 7)
	if !bytes.Equal(body, text(first, "lab-1", 7)) {
		t.Error("the same arguments give another record")
	}
	for name, other := range map[string][]byte{
		"epoch":   text(first, "lab-1", 8),
		"shard":   text(first, "lab-2", 7),
		"Records": text(second, "lab-1", 7),
	} {
		if pcs.Decode(body).PCSID == pcs.Decode(other).PCSID {
			t.Errorf("another %s gives the same pcs_id", name)
		}
	}
}

func TestNoEmptySecret(t *testing.T) {
	if _, err := New([]byte{}); !errors.Is(err, sign.ErrKey) {
		t.Errorf("%v", err)
	}
}

// TestWith: a sample is accepted under every scheme and with a key of either kind.
func TestWith(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	edKey, err := sign.NewEd25519Key(private)
	if err != nil {
		t.Fatal(err)
	}
	hmacKey, err := sign.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	trustedEd, err := verify.NewEd25519Key(public)
	if err != nil {
		t.Fatal(err)
	}
	trustedHMAC, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	keySet := verify.NewKeySet([]verify.Key{trustedEd, trustedHMAC})
	for _, key := range []sign.Key{edKey, hmacKey} {
		for _, scheme := range []string{sign.PCS1, sign.PCS2} {
			records, err := With(key, scheme)
			if err != nil {
				t.Fatal(err)
			}
			body, err := records.Signed("lab-1", 7)
			if err != nil {
				t.Fatal(err)
			}
			rec := pcs.Decode(body)
			got := verify.Evaluate(verify.DefaultPolicy(), rec, keySet.Check(rec, verify.Facts{}), 0)
			if got.Outcome != verify.Accepted || bytes.Contains(body, []byte(`"sig_scheme":"pcs/2"`)) != (scheme == sign.PCS2) {
				t.Errorf("%s, %s: %v (%v): %s", key.Algorithm(), scheme, got.Outcome, got.Reason, body)
			}
		}
	}
	if _, err := With(hmacKey, "pcs/3"); !errors.Is(err, sign.ErrOptions) {
		t.Errorf("an unknown scheme: %v", err)
	}
	publicOnly, err := sign.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := With(publicOnly, sign.PCS1); !errors.Is(err, sign.ErrKey) {
		t.Errorf("a key that does not sign: %v", err)
	}
}
