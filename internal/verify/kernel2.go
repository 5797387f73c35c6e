package verify

import (
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// kernel2 is kernel 1, except that the recomputed D_hat is the mean of the two middle slopes, halves rounded
// away from zero, and the tolerance applies around this mean. It is the textbook median. No agent in the field
// computes it, so a policy has to select this kernel.
func kernel2(p Params, rec *pcs.Record, t pcs.Tuple) (v Verdict) {
	doubt := slopes1(rec, &v)
	mean := middle(v.DHatLower, v.DHatUpper)
	v.DHatLower, v.DHatUpper = mean, mean
	checks1(&p, rec, t, &v, doubt)
	return v
}

// middle returns the mean of two slopes, halves rounded away from zero. Two times maxSlope fits in an int64.
func middle(a, b nano.Nano) nano.Nano {
	if sum := a + b; sum < 0 {
		return (sum - 1) / 2
	}
	return (a + b + 1) / 2
}
