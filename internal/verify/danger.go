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
	if strictness(p.Epochs.OnRegression) < strictness(than.Epochs.OnRegression) {
		out = append(out, fmt.Sprintf("epochs.on_regression is %s instead of %s", p.Epochs.OnRegression,
			than.Epochs.OnRegression))
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

func strictness(onRegression string) int {
	return slices.Index([]string{RegressionAllow, RegressionEscalate, RegressionReject}, onRegression)
}
