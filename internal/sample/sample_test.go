package sample

import (
	"bytes"
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
