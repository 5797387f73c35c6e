package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// TestPolicyEdges takes every number, list and word of a policy to both sides of its limits. What is valid survives
// its canonical form, and what is not is refused there, too.
func TestPolicyEdges(t *testing.T) {
	t.Parallel()
	versions := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("v%02d", i))
		}
		return all
	}
	type change struct {
		name string
		ok   bool
		make func(*Policy)
	}
	all := []change{
		{"the default", true, func(*Policy) {}},
		{"kernel 0", false, func(p *Policy) { p.Kernel = 0 }},
		{"kernel 2", true, func(p *Policy) { p.Kernel = 2 }},
		{"kernel 3", false, func(p *Policy) { p.Kernel = 3 }},
		{"kernel -1", false, func(p *Policy) { p.Kernel = -1 }},
		{"ttl 0", false, func(p *Policy) { p.Params.DedupTTL = 0 }},
		{"ttl 1", true, func(p *Policy) { p.Params.DedupTTL = 1 }},
		{"ttl most", true, func(p *Policy) { p.Params.DedupTTL = maxTTL }},
		{"ttl beyond", false, func(p *Policy) { p.Params.DedupTTL = maxTTL + 1 }},
		{"regression allow", true, func(p *Policy) { p.Epochs.OnRegression = RegressionAllow }},
		{"regression nothing", false, func(p *Policy) { p.Epochs.OnRegression = "" }},
		{"regression in capitals", false, func(p *Policy) { p.Epochs.OnRegression = "Allow" }},
		{"late -1", false, func(p *Policy) { p.Epochs.LateWindow = -1 }},
		{"late 1", true, func(p *Policy) { p.Epochs.LateWindow = 1 }},
		{"late most", true, func(p *Policy) { p.Epochs.LateWindow = MaxLateWindow }},
		{"late beyond", false, func(p *Policy) { p.Epochs.LateWindow = MaxLateWindow + 1 }},
		{"late, and all allowed", false, func(p *Policy) { p.Epochs = EpochRules{RegressionAllow, 1} }},
		{"late, rejected beyond", true, func(p *Policy) { p.Epochs = EpochRules{RegressionReject, 1} }},
		{"no version", false, func(p *Policy) { p.Versions = nil }},
		{"an empty version", false, func(p *Policy) { p.Versions = []string{""} }},
		{"most versions", true, func(p *Policy) { p.Versions = versions(MaxVersions) }},
		{"more versions", false, func(p *Policy) { p.Versions = versions(MaxVersions + 1) }},
		{"a long version", true, func(p *Policy) { p.Versions = []string{strings.Repeat("v", maxVersion)} }},
		{"a longer version", false, func(p *Policy) { p.Versions = []string{strings.Repeat("v", maxVersion+1)} }},
		{"a version of all signs", true, func(p *Policy) { p.Versions = []string{"aZ09.-+_"} }},
		{"a version with a blank", false, func(p *Policy) { p.Versions = []string{"0 1"} }},
		{"a version with a letter", false, func(p *Policy) { p.Versions = []string{"ä"} }},
		{"no algorithm", false, func(p *Policy) { p.Signature.Algorithms = nil }},
		{"an unknown algorithm", false, func(p *Policy) { p.Signature.Algorithms = []Alg{9} }},
		{"algorithm 0", false, func(p *Policy) { p.Signature.Algorithms = []Alg{0} }},
		{"no profile", false, func(p *Policy) { p.Signature.Profiles = 0 }},
		{"no scheme", false, func(p *Policy) { p.Signature.Schemes = 0 }},
		{"one scheme", true, func(p *Policy) { p.Signature.Schemes = pcs.SchemesOf(pcs.PCS2) }},
		{"unsigned", true, func(p *Policy) { p.Signature.Required = false }},
	}
	var d paramsDoc
	for i, f := range d.nanos(&Params{}) {
		set := func(v nano.Nano) func(*Policy) {
			return func(p *Policy) {
				var d paramsDoc
				*d.nanos(&p.Params)[i].nano = v
			}
		}
		tolerance := strings.HasPrefix(f.name, "tol_")
		all = append(all,
			change{f.name + " 0", true, set(0)},
			change{f.name + " most", true, set(maxParam)},
			change{f.name + " beyond", false, set(maxParam + 1)},
			change{f.name + " below 0", !tolerance, set(-1)},
			change{f.name + " least", !tolerance, set(-maxParam)},
			change{f.name + " below the least", false, set(-maxParam - 1)})
	}
	ids := map[[32]byte]string{}
	for _, c := range all {
		p := DefaultPolicy()
		c.make(&p)
		err := p.Validate()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", c.name, err)
		}
		text := p.Canonical()
		again, err := ParsePolicy(text)
		switch {
		case c.name == "no version" || c.name == "no scheme": // the form leaves them out, which means the default
			continue
		case (err == nil) != c.ok:
			t.Errorf("%s: its canonical form: %v", c.name, err)
		case err == nil && !bytes.Equal(again.Canonical(), text):
			t.Errorf("%s: %s\nis read as\n%s", c.name, text, again.Canonical())
		}
		if other, twice := ids[p.ID()]; twice && c.ok {
			t.Errorf("%s and %s have one id", c.name, other)
		}
		ids[p.ID()] = c.name
	}
}

// TestOneText changes, repeats and removes every byte of a canonical form: it is refused, or it is the canonical form
// of another policy.
func TestOneText(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Epochs.LateWindow, p.Versions = 17, []string{"0.1", "0.6"}
	text, id := p.Canonical(), p.ID()
	taken := 0
	for i := range text {
		for _, other := range [][]byte{
			append(append(bytes.Clone(text[:i]), text[i]), text[i:]...),
			append(bytes.Clone(text[:i]), text[i+1:]...),
			append(append(bytes.Clone(text[:i]), text[i]^1), text[i+1:]...),
			append(append(bytes.Clone(text[:i]), text[i]^0x20), text[i+1:]...),
			append(append(bytes.Clone(text[:i]), ' '), text[i:]...),
		} {
			q, err := ParsePolicy(other)
			switch {
			case err != nil && !errors.Is(err, ErrPolicy):
				t.Fatalf("byte %d: %v", i, err)
			case err == nil && (q.ID() == id) != bytes.Equal(other, text), err == nil && !bytes.Equal(q.Canonical(), other):
				t.Fatalf("byte %d: another text of a policy is taken:\n%s", i, other)
			case err == nil:
				taken++
			}
		}
	}
	if taken < 50 {
		t.Errorf("only %d other policies", taken)
	}
}

// TestLooser: what lets in more is named, one line for each part. The other way round nothing is.
func TestLooser(t *testing.T) {
	t.Parallel()
	rule := func(then, reason string) Rule {
		return Rule{Then: then, Reason: reason, When: Expr{Op: "bool", Int: 1}}
	}
	for want, c := range map[string]struct{ strict, loose func(*Policy) }{
		"signatures are no longer required": {nil, func(p *Policy) { p.Signature.Required = false }},
		"signatures of ed25519 are accepted": {
			func(p *Policy) { p.Signature.Algorithms = []Alg{HMACSHA256} },
			nil,
		},
		"signatures in profile py-bin are accepted": {
			func(p *Policy) { p.Signature.Profiles &^= pcs.ProfilesOf(pcs.PyBin) },
			nil,
		},
		"signatures under scheme pcs/1 are accepted": {
			func(p *Policy) { p.Signature.Schemes = pcs.SchemesOf(pcs.PCS2) },
			nil,
		},
		"records of version 0.6 are accepted": {nil, func(p *Policy) { p.Versions = []string{"0.1", "0.6"} }},
		"epochs.on_regression is escalate instead of reject": {
			func(p *Policy) { p.Epochs.OnRegression = RegressionReject },
			nil,
		},
		"epochs.on_regression is allow instead of escalate": {
			func(p *Policy) { p.Epochs.LateWindow = 7 },
			func(p *Policy) { p.Epochs.OnRegression = RegressionAllow },
		},
		"epochs.late_window is 8 instead of 7: late epochs are accepted": {
			func(p *Policy) { p.Epochs.LateWindow = 7 },
			func(p *Policy) { p.Epochs.LateWindow = 8 },
		},
		"params.tol_d is 0.150000001 instead of 0.15: claims are held less strictly": {
			nil,
			func(p *Policy) { p.Params.TolD++ },
		},
		"params.tol_coh is 0.050000001 instead of 0.05: claims are held less strictly": {
			nil,
			func(p *Policy) { p.Params.TolCoh++ },
		},
		"params.tol_budget is 0.010000001 instead of 0.01: claims are held less strictly": {
			nil,
			func(p *Policy) { p.Params.TolBudget++ },
		},
		`the rule "stop" (refuse) is gone`: {
			func(p *Policy) { p.Rules = []Rule{rule(RuleRefuse, "stop"), rule(RuleEscalate, "look")} },
			func(p *Policy) { p.Rules = []Rule{rule(RuleEscalate, "look")} },
		},
	} {
		strict, loose := DefaultPolicy(), DefaultPolicy()
		if c.strict != nil {
			c.strict(&strict)
		}
		if c.loose != nil {
			c.loose(&loose)
		}
		if got := loose.Looser(strict); len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := strict.Looser(loose); len(got) != 0 {
			t.Errorf("the other way round of %q: %q", want, got)
		}
	}
}
