package verify

import (
	"slices"
	"testing"

	"github.com/recount-ledger/recount/nano"
)

// TestKernel2: the middle slopes of these counts are 0.935784974 and 1, their mean is 0.967892487.
func TestKernel2(t *testing.T) {
	t.Parallel()
	if !slices.Equal(Kernels(), []int{1, 2}) {
		t.Errorf("kernels %v", Kernels())
	}
	p := DefaultPolicy()
	p.Kernel = 2
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ claim, first, second string }{
		{"1.150000000", "", "claimed D_hat 1.150000000, recomputed 0.967892487, tolerance 0.150000000"},
		{"1.117892488", "", "claimed D_hat 1.117892488, recomputed 0.967892487, tolerance 0.150000000"},
		{"1.117892487", "", ""}, {"0.817892487", "", ""},
		{"0.817892486", "", "claimed D_hat 0.817892486, recomputed 0.967892487, tolerance 0.150000000"},
		{"1.150000001", "claimed D_hat 1.150000001, recomputed 0.935784974 to 1.000000000, tolerance 0.150000000",
			"claimed D_hat 1.150000001, recomputed 0.967892487, tolerance 0.150000000"},
	} {
		rec := goodRecord(t, map[string]string{"D_hat": c.claim, "scales": "[2,4,8,16]", "N_j": `{"2":2,"4":4,"8":8,"16":14}`})
		checkMismatch(t, Evaluate(DefaultPolicy(), rec, someFacts, 0), c.first)
		v := Evaluate(p, rec, someFacts, 0)
		checkMismatch(t, v, c.second)
		if mean := nano.Nano(967_892_487); !v.HasDHat || v.DHatLower != mean || v.DHatUpper != mean {
			t.Errorf("kernel 2: %+v", v)
		}
	}
	one := Evaluate(p, goodRecord(t, map[string]string{"scales": "[2]"}), someFacts, 0)
	if one.HasDHat || one.DHatLower != 0 || one.DHatUpper != 0 || one.Reason != ReasonDHatUnverifiable {
		t.Errorf("without slopes: %+v", one)
	}
}

func checkMismatch(t *testing.T, v Verdict, evidence string) {
	t.Helper()
	if (evidence == "") != (v.Outcome == Accepted) || evidence != "" && (v.Reason != ReasonDHatMismatch || v.Evidence != evidence) {
		t.Errorf("%+v\nwant %q", v, evidence)
	}
}

func TestMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]nano.Nano{{0, 0, 0}, {0, 1, 1}, {-1, 0, -1}, {-1, 1, 0}, {1, 2, 2}, {-2, -1, -2}, {-3, 1, -1}, {-3, 0, -2}, {4, 8, 6},
		{maxSlope, maxSlope, maxSlope}, {-maxSlope, -maxSlope, -maxSlope}, {-maxSlope, maxSlope, 0}, {maxSlope - 1, maxSlope, maxSlope}} {
		if got := middle(c[0], c[1]); got != c[2] || got != bigMean(int64(c[0]), int64(c[1])) {
			t.Errorf("%d and %d: %d, want %d", c[0], c[1], got, c[2])
		}
	}
}
