package verify

import (
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// FuzzCheck: no body makes Check, Recheck or Evaluate panic, and a signature that holds for
// a record never holds for the same record with another signed value.
func FuzzCheck(f *testing.F) {
	const secret = "fuzz"
	f.Add(goodBody(f, nil), uint8(0), uint64(1))
	f.Add(goodBody(f, map[string]string{"D_hat": "-0.0", "shard_id": `"sch\u00e4rfe"`}), uint8(9), uint64(77))
	f.Add([]byte(`{"sig":"`+goodRecord(f, nil).Sig+`"}`), uint8(3), uint64(5))
	f.Add(goodBody(f, map[string]string{"sig_scheme": `"pcs/2"`}), uint8(0), uint64(1))
	for _, l := range corpus(f, "bad-input.ndjson") {
		if b := l.body(f); len(b) < 4096 {
			f.Add(b, uint8(len(b)), uint64(len(b)))
		}
	}
	keySet := NewKeySet([]Key{mustHMAC(f, "other"), mustHMAC(f, secret), mustEd(f, loadKeys(f).Ed25519["ed-main"].PublicHex)})
	policy := DefaultPolicy()
	f.Fuzz(func(t *testing.T, body []byte, how uint8, change uint64) {
		rec := pcs.Decode(body)
		facts := keySet.Check(rec, Facts{})
		keySet.Recheck(rec, facts)
		Evaluate(policy, rec, facts, 0)
		Evaluate(policy, rec, someFacts, 0)
		if rec.Fault != nil || !rec.Signable {
			return
		}
		p, m := pcs.Profile(how%8+1), Mode(how/8%2+1)
		if _, err := rec.AppendPayload(nil, p); err != nil || !modeAllowed(p, m) {
			return
		}
		signHMAC(t, rec, secret, p, m)
		good := keySet.Check(rec, Facts{})
		if rec.Scheme != pcs.PCS1 {
			if good.Valid() {
				t.Fatalf("of scheme %s, signed as %s %s, and found %+v", rec.Scheme, p, m, good)
			}
			return
		}
		if !good.Valid() || rec.Tuple(good.Profile) != rec.Tuple(p) {
			t.Fatalf("signed as %s %s, found %+v", p, m, good)
		}
		changed := *rec
		if !alter(&changed, change) {
			return
		}
		if bad := keySet.Check(&changed, good); bad.Valid() && !sameSigned(rec, good, &changed, bad) {
			t.Fatalf("altered record verifies: %+v", bad)
		}
	})
}

// alter changes one signed field; it reports whether anything changed.
func alter(rec *pcs.Record, how uint64) bool {
	step := how>>4 | 1
	switch how % 8 {
	case 0:
		rec.Epoch ^= int64(step >> 1)
		return step>>1 != 0
	case 1:
		rec.ShardID += "x"
	case 2:
		rec.MerkleRoot = flipDigit(rec.MerkleRoot, step)
	case 3:
		rec.PCSID = flipDigit(rec.PCSID, step)
	case 4:
		rec.DHat = nudge(rec.DHat, step)
	case 5:
		rec.CohStar = nudge(rec.CohStar, step)
	case 6:
		rec.R = nudge(rec.R, step)
	case 7:
		rec.Budget = nudge(rec.Budget, step)
	}
	return true
}

func flipDigit(s string, at uint64) string {
	b := []byte(s)
	i := at % uint64(len(b))
	if b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return string(b)
}

// nudge replaces a number by another multiple of 1e-9, at least two units away.
func nudge(n pcs.Number, step uint64) pcs.Number {
	units := int64(n.Double*1e9) + 2 + int64(step%1_000_000)
	text := nano.Nano(units).Fixed()
	return pcs.Number{Literal: text, Double: float64(units) / 1e9}
}

// sameSigned reports whether both records mean the same signed values.
func sameSigned(a *pcs.Record, fa Facts, b *pcs.Record, fb Facts) bool {
	return a.SignedDigest(a.Tuple(fa.Profile)) == b.SignedDigest(b.Tuple(fb.Profile))
}
