package verify_test

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
)

// TestDangers: a policy that lets more in than the one in force, or nothing at all, says so in words; the default one does not.
func TestDangers(t *testing.T) {
	current := verify.DefaultPolicy()
	if d := append(current.Dangers(), current.Looser(current)...); len(d) != 0 {
		t.Errorf("the default policy: %v", d)
	}
	strict, err := publish.Parse([]byte("epochs: {on_regression: reject}\nrules: [{when: 'degraded', then: refuse, reason: lab}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]string{
		"signature: {required: false}\n":                               "unsigned records pass",
		"epochs: {on_regression: allow}\n":                             "old epochs pass",
		"rules: [{when: 'true', then: refuse, reason: stop}]\n":        "every record is refused",
		"params: {tol_d: \"9\"}\n":                                     "params.tol_d is 9 instead of 0.15: claims",
		"epochs: {on_regression: escalate}\n":                          "on_regression is escalate instead of reject",
		"epochs: {on_regression: reject}\n":                            "the rule \"lab\" (refuse) is gone",
		"signature: {required: false}\nepochs: {on_regression: allow}": "signatures are no longer required",
	} {
		p, err := publish.Parse([]byte(document))
		if err != nil {
			t.Fatal(document, err)
		}
		if all := strings.Join(append(p.Dangers(), p.Looser(strict)...), "\n"); !strings.Contains(all, want) {
			t.Errorf("%q: no %q in %s", document, want, all)
		}
	}
}
