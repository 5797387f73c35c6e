package verify

import (
	"reflect"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// Rules whose outcome depends on the history or on HTTP alone; their records are judged
// like any other, but the class is the fold's or the server's.
var statefulRules = []string{"REPLAY", "CONFLICT", "UNSIGNED-CHANGE", "EPOCH-REGRESSION", "EPOCH-EQUIVOCATION"}

var httpRules = []string{"METHOD", "HEALTH", "CONTENT-TYPE", "CONTENT-ENCODING", "TOO-LARGE"}

const maxBody = 1 << 20

// TestCorpus judges every record under the default policy with all profiles allowed: the
// corpus holds records of the opt-in profiles too. Under the default profiles the same
// verdicts come out, except that records whose opt-in payload is no default profile's
// payload are refused; in this corpus these are the ones signed as bin.
func TestCorpus(t *testing.T) {
	t.Parallel()
	keySet := trustedKeys(t)
	byDefault, policy := DefaultPolicy(), DefaultPolicy()
	policy.Signature.Profiles = allProfiles
	optIn := 0
	for _, file := range []string{"good-hmac.ndjson", "good-ed25519.ndjson", "bad-input.ndjson"} {
		lines := corpus(t, file)
		judged := 0
		for i := range lines {
			l := &lines[i]
			body := l.body(t)
			if slices.Contains(httpRules, l.Rule) || len(body) > maxBody {
				continue
			}
			judged++
			rec := pcs.Decode(body)
			facts := keySet.Check(rec, Facts{})
			v := Evaluate(policy, rec, facts, 0)
			checkLine(t, file, l, rec, facts, v)
			d := Evaluate(byDefault, rec, keySet.Check(rec, facts), 0)
			if l.Profile == "bin" && v.Outcome != Refused {
				if optIn++; d.Reason != ReasonBadSignature {
					t.Errorf("%s %s: bin by default gives %s", file, l.ID, d.Reason)
				}
			} else if !reflect.DeepEqual(d, v) {
				t.Errorf("%s %s: by default %+v, with all profiles %+v", file, l.ID, d, v)
			}
		}
		t.Logf("%s: %d of %d lines judged", file, judged, len(lines))
	}
	if optIn != 7 {
		t.Errorf("%d records signed as bin, want 7", optIn)
	}
}

func checkLine(t *testing.T, file string, l *corpusLine, rec *pcs.Record, f Facts, v Verdict) {
	t.Helper()
	status := map[Reason]int{ReasonMalformed: 400, ReasonSchema: 400, ReasonIDMismatch: 400, ReasonBadSignature: 401}[v.Reason]
	if status == 0 {
		status = map[Outcome]int{Accepted: 200, Escalated: 202}[v.Outcome]
	}
	e := &l.Expect
	stateful := slices.Contains(statefulRules, l.Rule)
	if !stateful && !slices.Contains(e.Status, status) {
		t.Errorf("%s %s %s: status %d, want one of %v (%s: %s)", file, l.ID, l.Rule, status, e.Status, v.Reason, v.Evidence)
	}
	if class := v.Reason.String(); !stateful && class != e.Class {
		t.Errorf("%s %s %s: class %s, want %s (%s)", file, l.ID, l.Rule, class, e.Class, v.Evidence)
	}
	if e.Accepted != nil && v.Accepted != *e.Accepted {
		t.Errorf("%s %s %s: accepted %v, want %v (%s: %s)", file, l.ID, l.Rule, v.Accepted, *e.Accepted, v.Reason, v.Evidence)
	}
	if v.Outcome == Refused {
		return
	}
	if e.PCSID != "" && rec.PCSID != e.PCSID {
		t.Errorf("%s %s: pcs_id %s, want %s", file, l.ID, rec.PCSID, e.PCSID)
	}
	if l.Rule == "CONFLICT" || l.Rule == "UNSIGNED-CHANGE" {
		return // the values expected are those of the first record
	}
	if len(e.DHat) == 3 && !(v.HasDHat && within(v.DHatLower, e.DHat[0]) && within(v.DHatUpper, e.DHat[2])) {
		t.Errorf("%s %s: slopes %v %s..%s, want %v", file, l.ID, v.HasDHat, v.DHatLower, v.DHatUpper, e.DHat)
	}
	if len(e.DHat) == 0 && v.HasDHat && v.Reason != ReasonDHatUnverifiable {
		t.Errorf("%s %s: a slope where none is expected", file, l.ID)
	}
	if len(e.Budget) > 0 && !within(v.Budget, e.Budget[0]) {
		t.Errorf("%s %s: budget %s, want %v", file, l.ID, v.Budget, e.Budget[0])
	}
	if f.Alg.String() != map[string]string{"hmac": "hmac-sha256", "ed25519": "ed25519"}[l.Alg] && l.Alg != "" {
		t.Errorf("%s %s: verified by %s, signed by %s", file, l.ID, f.Alg, l.Alg)
	}
	if l.Mode != "" && f.Mode.String() != l.Mode {
		t.Errorf("%s %s: mode %s, want %s", file, l.ID, f.Mode, l.Mode)
	}
}

// within allows the one unit by which a text printed from a double may be off.
func within(got nano.Nano, want jsonNano) bool {
	d := got - nano.Nano(want)
	return d >= -1 && d <= 1
}
