package node

import (
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestCapabilitiesThatPoliciesNeed: what a policy needs is what this release says it can, and an older one is
// found out.
func TestCapabilitiesThatPoliciesNeed(t *testing.T) {
	plain, kernel, whole := verify.DefaultPolicy(), verify.DefaultPolicy(), verify.DefaultPolicy()
	plain.Signature.Profiles = pcs.ProfilesOf(pcs.F9, pcs.Bin)
	kernel.Signature.Profiles, whole.Signature.Profiles = plain.Signature.Profiles, plain.Signature.Profiles
	late := plain
	late.Epochs.LateWindow = 1
	versions := plain
	versions.Versions = []string{"0.1", "0.6"}
	kernel.Kernel, whole.Signature.Schemes = 2, pcs.SchemesOf(pcs.PCS2)
	older := []string{"kernel-1"}
	for _, c := range []struct {
		policy verify.Policy
		need   []string
		lacks  string
	}{{plain, nil, ""}, {kernel, []string{"kernel-2"}, "kernel-2"}, {whole, []string{"pcs/2"}, "pcs/2"},
		{late, []string{"late_window"}, "late_window"}, {versions, []string{"versions"}, "versions"},
		{verify.DefaultPolicy(), []string{"profile-py-bin"}, "profile-py-bin"}} {
		need := requiredCapabilities(c.policy)
		if !slices.Equal(need, c.need) || missing(capabilities(), need) != "" || missing(older, need) != c.lacks {
			t.Errorf("%v: an older release lacks %q", need, missing(older, need))
		}
	}
	if missing(nil, requiredCapabilities(kernel)) == "" {
		t.Error("a member that names nothing lacks nothing")
	}
}
