package publish

import (
	"fmt"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/verify"
)

// Document prints a policy in the form that Parse reads. A policy returned by Parse survives the round trip
// unchanged.
func Document(p verify.Policy) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel: %d\nparams:\n", p.Kernel)
	params := nanoParams(&p.Params)
	for _, name := range []string{"tol_d", "tol_coh", "tol_budget", "alpha", "beta", "gamma", "base", "d0",
		"sticky_coh", "sticky_d", "non_sticky_d"} {
		fmt.Fprintf(&b, "  %s: %q\n", name, params[name].Fixed())
	}
	fmt.Fprintf(&b, "  dedup_ttl: %q\n", time.Duration(p.Params.DedupTTL))
	fmt.Fprintf(&b, "signature:\n  required: %v\n  algorithms: [", p.Signature.Required)
	for i, a := range p.Signature.Algorithms {
		b.WriteString(comma(i) + a.String())
	}
	b.WriteString("]\n  profiles: [")
	for i, f := range p.Signature.Profiles.Slice() {
		b.WriteString(comma(i) + f.String())
	}
	b.WriteString("]\n  schemes: [")
	for i, v := range p.Signature.Schemes.Slice() {
		b.WriteString(comma(i) + v.String())
	}
	fmt.Fprintf(&b, "]\nepochs:\n  on_regression: %s\n", p.Epochs.OnRegression)
	if p.Epochs.LateWindow != 0 {
		fmt.Fprintf(&b, "  late_window: %d\n", p.Epochs.LateWindow)
	}
	b.WriteString("versions: [")
	for i, v := range p.Versions {
		fmt.Fprintf(&b, "%s%q", comma(i), v)
	}
	b.WriteString("]\n")
	if len(p.Rules) == 0 {
		b.WriteString("rules: []\n")
		return []byte(b.String())
	}
	b.WriteString("rules:\n")
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "  - when: '%s'\n    then: %s\n    reason: %s\n",
			strings.ReplaceAll(r.When.String(), "'", "''"), r.Then, r.Reason)
	}
	return []byte(b.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}
