package main

import (
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestNarrowerPolicyIsNoticed: publish says what the policy in force accepts and the new one does not.
func TestNarrowerPolicyIsNoticed(t *testing.T) {
	wide, narrow := verify.DefaultPolicy(), verify.DefaultPolicy()
	wide.Signature.Profiles |= pcs.ProfilesOf(pcs.Bin)
	wide.Versions = []string{"0.1", "0.6"}
	wide.Epochs.LateWindow, narrow.Epochs.LateWindow = 64, 8
	want := []string{"profile bin, this one does not; records signed with it would be refused.",
		"records of version 0.6, this one does not; they would be refused.",
		"unused epochs that are up to 64 late, this one up to 8; later ones would not count."}
	if got := narrower(wide, narrow); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	narrow.Epochs = verify.EpochRules{OnRegression: verify.RegressionAllow}
	if got := narrower(wide, narrow); !slices.Equal(got, want[:2]) {
		t.Errorf("with allow: %q", got)
	}
	if got := narrower(narrow, narrow); got != nil {
		t.Errorf("the same policy: %q", got)
	}
}
