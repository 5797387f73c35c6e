package verify

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	type m = map[string]string
	for _, c := range []struct {
		name     string
		set      m
		outcome  Outcome
		accepted bool
		reasons  []Reason
		hasDHat  bool
		evidence string
	}{
		{"ok", nil, Accepted, true, nil, true, "every check passed"},
		{"missing count", m{"N_j": `{"2":2,"4":4,"8":8,"16":16}`}, Escalated, false, []Reason{ReasonDHatUnverifiable}, false, "no count for scale 32"},
		{"zero count", m{"N_j": `{"2":0,"4":4,"8":8,"16":16,"32":32}`}, Escalated, false, []Reason{ReasonDHatUnverifiable}, false, "the count of scale 2 is below 1"},
		{"one scale", m{"scales": "[2]"}, Escalated, false, []Reason{ReasonDHatUnverifiable}, false, "fewer than two distinct scales"},
		{"one distinct scale", m{"scales": "[2,2]"}, Escalated, false, []Reason{ReasonDHatUnverifiable}, false, "fewer than two distinct scales"},
		{"scale twice", m{"scales": "[2,2,4]"}, Escalated, false, []Reason{ReasonDHatUnverifiable}, true, "a scale is listed twice"},
		{"two spellings", m{"N_j": `{"2":2,"4":4,"8":8,"16":16,"32":32,"04":9}`}, Escalated, false, []Reason{ReasonDHatUnverifiable}, true, "scale 4 has more than one count"},
		{"extra scale", m{"N_j": `{"2":2,"4":4,"8":8,"16":16,"32":32,"64":1}`}, Accepted, true, nil, true, "every check passed"},
		{"mismatch", m{"D_hat": "1.150000001"}, Escalated, false, []Reason{ReasonDHatMismatch}, true,
			"claimed D_hat 1.150000001, recomputed 1.000000000, tolerance 0.150000000"},
		{"at the tolerance", m{"D_hat": "1.150000000"}, Accepted, true, nil, true, "every check passed"},
		{"below the tolerance", m{"D_hat": "0.849999999"}, Escalated, false, []Reason{ReasonDHatMismatch}, true,
			"claimed D_hat 0.849999999, recomputed 1.000000000, tolerance 0.150000000"},
		{"range", m{"D_hat": "-0.100000000", "N_j": `{"2":1,"4":1,"8":1,"16":1,"32":1}`}, Escalated, true, []Reason{ReasonDHatRange}, true,
			"claimed D_hat -0.100000000 is outside 0.000000000 to 3.500000000"},
		{"coherence", m{"coh_star": "1.050000001", "budget": "0.460000000"}, Escalated, false, []Reason{ReasonCohBounds}, true,
			"claimed coh_star 1.050000001 is outside 0.000000000 to 1.050000000"},
		{"coherence slack", m{"coh_star": "1.050000000", "budget": "0.460000000"}, Accepted, true, nil, true, "every check passed"},
		{"r", m{"r": "1.000000001", "budget": "0.260000000"}, Escalated, true, []Reason{ReasonRBounds}, true,
			"claimed r 1.000000001 is outside 0.000000000 to 1.000000000"},
		{"budget bounds", m{"budget": "-0.000000001", "r": "1.000000000", "coh_star": "0.000000000", "regime": `"mixed"`}, Escalated, true,
			[]Reason{ReasonBudgetBounds, ReasonBudgetMismatch}, true, "claimed budget -0.000000001 is outside 0.000000000 to 1.000000000"},
		{"regime", m{"regime": `"mixed"`}, Escalated, true, []Reason{ReasonRegimeMismatch}, true, "claimed regime mixed, recomputed sticky"},
		{"budget", m{"budget": "0.420000001"}, Escalated, true, []Reason{ReasonBudgetMismatch}, true,
			"claimed budget 0.420000001, recomputed 0.410000000, tolerance 0.010000000"},
		{"degraded", m{"ft": `{"outbox_seq":1,"degraded":true,"fallbacks":[],"clock_skew_ms":0}`}, Escalated, true, []Reason{ReasonDegraded}, true,
			"the sender marked the record degraded"},
		{"everything", m{"D_hat": "9.000000000", "coh_star": "2.000000000", "r": "-1.000000000", "budget": "1.500000000", "regime": `"mixed"`,
			"ft": `{"outbox_seq":1,"degraded":true,"fallbacks":[],"clock_skew_ms":0}`}, Escalated, false,
			[]Reason{ReasonDHatMismatch, ReasonDHatRange, ReasonCohBounds, ReasonRBounds, ReasonBudgetBounds, ReasonRegimeMismatch, ReasonBudgetMismatch, ReasonDegraded},
			true, "claimed D_hat 9.000000000, recomputed 1.000000000, tolerance 0.150000000"},
		{"unverifiable and more", m{"D_hat": "9.000000000", "scales": "[2]"}, Escalated, false,
			[]Reason{ReasonDHatUnverifiable, ReasonDHatRange, ReasonRegimeMismatch, ReasonBudgetMismatch}, false, "fewer than two distinct scales"},
	} {
		v := Evaluate(DefaultPolicy(), goodRecord(t, c.set), someFacts, 0)
		first := ReasonOK
		if len(c.reasons) > 0 {
			first = c.reasons[0]
		}
		if v.Outcome != c.outcome || v.Accepted != c.accepted || v.Reason != first || !slices.Equal(v.Reasons, c.reasons) ||
			v.HasDHat != c.hasDHat || v.Evidence != c.evidence {
			t.Errorf("%s: %+v", c.name, v)
		}
		if !slices.IsSorted(v.Reasons) {
			t.Errorf("%s: reasons out of order: %v", c.name, v.Reasons)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	wrongID := goodBody(t, map[string]string{"pcs_id": `"` + strings.Repeat("0", 64) + `"`})
	for _, c := range []struct {
		name  string
		body  []byte
		facts Facts
		want  Reason
	}{
		{"not JSON", []byte("{"), Facts{}, ReasonMalformed},
		{"array", []byte("[]"), someFacts, ReasonMalformed},
		{"schema before signature", goodBody(t, map[string]string{"regime": `"odd"`}), Facts{}, ReasonSchema},
		{"missing member", goodBody(t, map[string]string{"seed": ""}), someFacts, ReasonSchema},
		{"no signature", goodBody(t, nil), Facts{}, ReasonBadSignature},
		{"signature before id", wrongID, Facts{}, ReasonBadSignature},
		{"id", wrongID, someFacts, ReasonIDMismatch},
	} {
		v := Evaluate(DefaultPolicy(), pcs.Decode(c.body), c.facts, 0)
		if v.Outcome != Refused || v.Accepted || v.Reason != c.want || !slices.Equal(v.Reasons, []Reason{c.want}) || v.Evidence == "" {
			t.Errorf("%s: %+v", c.name, v)
		}
		if v.HasDHat || v.Budget != 0 || v.Regime != "" {
			t.Errorf("%s: a refused record has values: %+v", c.name, v)
		}
	}
	if v := Evaluate(DefaultPolicy(), nil, someFacts, 0); v.Reason != ReasonMalformed || v.Outcome != Refused {
		t.Errorf("no record: %+v", v)
	}
}

func TestSignatureRules(t *testing.T) {
	t.Parallel()
	rec := goodRecord(t, nil)
	optional := DefaultPolicy()
	optional.Signature.Required = false
	onlyEd := DefaultPolicy()
	onlyEd.Signature.Algorithms = []Alg{Ed25519}
	bin := someFacts
	bin.Profile, bin.Mode = pcs.Bin, SHA256
	signed := goodRecord(t, nil)
	signed.Sig, signed.HasSig = "AAAA", true
	for _, c := range []struct {
		name string
		p    Policy
		rec  *pcs.Record
		f    Facts
		want Reason
	}{
		{"algorithm not in the policy", onlyEd, rec, someFacts, ReasonBadSignature},
		{"profile not in the policy", DefaultPolicy(), rec, bin, ReasonBadSignature},
		{"unsigned where optional", optional, rec, Facts{}, ReasonOK},
		{"wrongly signed where optional", optional, signed, Facts{}, ReasonBadSignature},
	} {
		if v := Evaluate(c.p, c.rec, c.f, 0); v.Reason != c.want {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func TestKernelFault(t *testing.T) {
	t.Parallel()
	broken := func(Params, *pcs.Record, pcs.Tuple) Verdict { panic(errors.New("boom")) }
	p := DefaultPolicy()
	v := evaluate(&p, goodRecord(t, nil), someFacts, 0, broken)
	if v.Outcome != Escalated || v.Accepted || v.Reason != ReasonKernelFault || !slices.Equal(v.Reasons, []Reason{ReasonKernelFault}) {
		t.Errorf("%+v", v)
	}
	// Half-filled values of the broken kernel are gone.
	half := func(Params, *pcs.Record, pcs.Tuple) (v Verdict) {
		v.HasDHat, v.Reasons = true, []Reason{ReasonDegraded}
		var none []int
		_ = none[len(v.Reasons)]
		return v
	}
	if again := evaluate(&p, goodRecord(t, nil), someFacts, 0, half); again.HasDHat || again.Reason != v.Reason || again.Evidence != v.Evidence {
		t.Errorf("%+v", again)
	}
	// A record that nobody signed is refused before any kernel runs.
	if v := evaluate(&p, goodRecord(t, nil), Facts{}, 0, broken); v.Reason != ReasonBadSignature {
		t.Errorf("unsigned: %+v", v)
	}
	p.Kernel = 3
	if v := Evaluate(p, goodRecord(t, nil), someFacts, 0); v.Reason != ReasonKernelFault || v.Outcome != Escalated {
		t.Errorf("unknown kernel: %+v", v)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for r := ReasonOK; r <= ReasonRule; r++ {
		if got, err := ParseReason(r.String()); err != nil || got != r {
			t.Errorf("reason %d: %q %v %v", r, r, got, err)
		}
	}
	for o := Accepted; o <= Conflict; o++ {
		if got, err := ParseOutcome(o.String()); err != nil || got != o {
			t.Errorf("outcome %d: %q %v %v", o, o, got, err)
		}
	}
	for _, a := range []Alg{HMACSHA256, Ed25519} {
		if got, err := ParseAlg(a.String()); err != nil || got != a {
			t.Errorf("alg %d: %v %v", a, got, err)
		}
	}
	for _, bad := range []string{"", "unknown", "OK", "ok "} {
		if _, err := ParseReason(bad); !errors.Is(err, ErrUnknownName) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := ParseAlg(bad); !errors.Is(err, ErrUnknownName) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := ParseOutcome(bad); !errors.Is(err, ErrUnknownName) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := ParseMode(bad); !errors.Is(err, ErrUnknownName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if Reason(0).String() != "unknown" || Reason(200).String() != "unknown" || Mode(9).String() != "unknown" {
		t.Error("a value outside the set has a name")
	}
}
