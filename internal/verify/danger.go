package verify

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/nano"
)

// Dangers returns one sentence for each part of a policy that accepts or refuses more than an operator may
// expect. It looks at the policy alone and at no record.
func (p Policy) Dangers() []string {
	out := []string{}
	if !p.Signature.Required {
		out = append(out, "unsigned records pass: signature.required is false")
	}
	if p.Epochs.OnRegression == RegressionAllow {
		out = append(out, "records with old epochs pass without a word: epochs.on_regression is allow")
	}
	for i, r := range p.Rules {
		if r.Then == RuleRefuse && r.When.Op == "bool" && r.When.Int != 0 {
			out = append(out,
				fmt.Sprintf("every record is refused that no rule before takes: rule %d always holds", i+1))
		}
	}
	return out
}

// Looser returns the checks of another policy, such as the one in force, that this policy drops or loosens: it
// then accepts records that the other one would escalate or refuse.
func (p Policy) Looser(than Policy) []string {
	out := []string{}
	if than.Signature.Required && !p.Signature.Required {
		out = append(out, "signatures are no longer required")
	}
	out = append(out, p.Signature.more(than.Signature)...)
	for _, v := range p.Versions {
		if !slices.Contains(than.Versions, v) {
			out = append(out, fmt.Sprintf("records of version %s are accepted", v))
		}
	}
	switch now, before := p.Epochs, than.Epochs; {
	case strictness(now.OnRegression) < strictness(before.OnRegression):
		out = append(out, fmt.Sprintf("epochs.on_regression is %s instead of %s", now.OnRegression, before.OnRegression))
	case now.LateWindow > before.LateWindow && before.OnRegression != RegressionAllow:
		out = append(out, fmt.Sprintf("epochs.late_window is %d instead of %d: late epochs are accepted", now.LateWindow,
			before.LateWindow))
	}
	for _, t := range []struct {
		name     string
		new, old nano.Nano
	}{{"tol_d", p.Params.TolD, than.Params.TolD}, {"tol_coh", p.Params.TolCoh, than.Params.TolCoh},
		{"tol_budget", p.Params.TolBudget, than.Params.TolBudget}} {
		if t.new > t.old {
			out = append(out, fmt.Sprintf("params.%s is %s instead of %s: claims are held less strictly", t.name,
				t.new, t.old))
		}
	}
	for _, r := range than.Rules {
		if !slices.ContainsFunc(p.Rules, func(x Rule) bool {
			return x.Then == r.Then && x.Reason == r.Reason && x.When.String() == r.When.String()
		}) {
			out = append(out, fmt.Sprintf("the rule %q (%s) is gone", r.Reason, r.Then))
		}
	}
	return out
}

// more lists the algorithms, profiles and schemes that these rules accept and others do not.
func (s SignatureRules) more(than SignatureRules) (out []string) {
	for _, a := range s.Algorithms {
		if !slices.Contains(than.Algorithms, a) {
			out = append(out, fmt.Sprintf("signatures of %s are accepted", a))
		}
	}
	for _, p := range (s.Profiles &^ than.Profiles).Slice() {
		out = append(out, fmt.Sprintf("signatures in profile %s are accepted", p))
	}
	for _, v := range (s.Schemes &^ than.Schemes).Slice() {
		out = append(out, fmt.Sprintf("signatures under scheme %s are accepted", v))
	}
	return out
}

func strictness(onRegression string) int {
	return slices.Index([]string{RegressionAllow, RegressionEscalate, RegressionReject}, onRegression)
}
