package verify

import (
	"bytes"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// hints are all combinations that may have verified the record before: every key, profile and mode.
func hints(r *KeySet) []Facts {
	out := []Facts{{}}
	for _, k := range r.Keys() {
		for p := pcs.F9; p <= pcs.LastProfile; p++ {
			for m := Raw; m <= Whole; m++ {
				out = append(out, Facts{KeyID: k.ID, Alg: k.Alg, Profile: p, Mode: m})
			}
		}
	}
	return out
}

// published calls fn for every published record that a trusted key signed under pcs/1, with the profile its client used.
func published(t *testing.T, r *KeySet, fn func(rec *pcs.Record, facts Facts, meant pcs.Profile)) (n int) {
	t.Helper()
	for _, file := range []string{"good-hmac.ndjson", "good-ed25519.ndjson"} {
		lines := corpus(t, file)
		for i := range lines {
			rec := pcs.Decode(lines[i].body(t))
			facts := r.Check(rec, Facts{})
			if !facts.Valid() {
				continue
			}
			meant, err := pcs.ParseProfile(lines[i].Profile)
			if err != nil {
				t.Fatal(err)
			}
			fn(rec, facts, meant)
			n++
		}
	}
	return n
}

// TestFactsUnderEveryHint: what verified before changes the cost of a check and nothing that is recorded.
func TestFactsUnderEveryHint(t *testing.T) {
	t.Parallel()
	keySet := trustedKeys(t)
	all := hints(keySet)
	n := published(t, keySet, func(rec *pcs.Record, facts Facts, _ pcs.Profile) {
		for i, hint := range all {
			if ok, _ := keySet.Recheck(rec, hint); !ok && facts.Alg == Ed25519 && i%7 != 0 {
				continue // a hint that misses is dear, and all of them go the same way
			}
			got, hit := keySet.Find(rec, hint)
			if got != facts {
				t.Fatalf("%s: %+v, under the hint %+v %+v", rec.PCSID, facts, hint, got)
			}
			if ok, known := keySet.Recheck(rec, hit); !ok || !known {
				t.Fatalf("%s: the hint for the next record, %+v, does not verify", rec.PCSID, hit)
			}
		}
	})
	if n < 650 {
		t.Errorf("%d records, want at least the 650 published ones", n)
	}
}

// TestFactsUnderEveryPolicy: a record counts under exactly those policies that take a profile which writes it as its client
// did, whatever profile of the same bytes is recorded.
func TestFactsUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	keySet := trustedKeys(t)
	alone, other := map[pcs.Profile]int{}, 0
	published(t, keySet, func(rec *pcs.Record, facts Facts, meant pcs.Profile) {
		signed := message(t, rec, meant, Raw)
		for p := pcs.F9; p <= pcs.LastProfile; p++ {
			rules := DefaultPolicy().Signature
			rules.Profiles = pcs.ProfilesOf(p)
			written, err := rec.AppendPayload(nil, p)
			want := err == nil && bytes.Equal(written, signed)
			if got := rules.Counts(rec, facts); got != want {
				t.Fatalf("%s, signed as %s and recorded as %s, under a policy that takes %s alone: %v", rec.PCSID, meant, facts.Profile, p, got)
			}
			if want {
				alone[p]++
			}
			if want && p != facts.Profile {
				other++
			}
		}
	})
	if alone[pcs.Go] < 217 || other == 0 {
		t.Errorf("records that count under one profile alone: %v, %d under another than the recorded one", alone, other)
	}
}

// TestUnalikeProfileDoesNotCount: facts that name a profile and a mode which cannot be do not count through another profile.
func TestUnalikeProfileDoesNotCount(t *testing.T) {
	t.Parallel()
	rules := DefaultPolicy().Signature
	rec := goodRecord(t, map[string]string{"D_hat": "1.412345679"})
	f := someFacts
	for _, p := range []pcs.Profile{pcs.GoFold, pcs.Bin} {
		rules.Profiles = pcs.ProfilesOf(p)
		if rules.Counts(rec, f) {
			t.Errorf("f9 counts where only %s is taken", p)
		}
	}
	rec = pcs.Decode([]byte(`{"sig":"x"}`))
	if rec.Signable || rules.Counts(rec, f) {
		t.Errorf("a record that cannot be signed counts: signable %v", rec.Signable)
	}
}
