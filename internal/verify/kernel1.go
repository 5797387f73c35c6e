package verify

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// Kernel 1, frozen with the first release. Everything is an integer.

const (
	logBits     = 48                            // fraction bits of a logarithm
	minLogGap   = 281_474                       // floor(1e-9 * 2^48): logarithms at most this far apart give no slope
	maxSlope    = 4_000_000_000 * 1_000_000_000 // slopes saturate here, in 1e-9
	maxParam    = 1_000_000 * 1_000_000_000     // largest parameter, and signed value, in 1e-9
	maxDHat     = 3_500_000_000                 // D_hat range is [0, 3.5]
	maxUnit     = nano.One                      // range of r, budget and (without tolerance) coh_star is [0, 1]
	maxSpelling = 400                           // largest decimal exponent accepted in a count's key
)

// The regime words.
const (
	RegimeSticky    = "sticky"
	RegimeNonSticky = "non_sticky"
	RegimeMixed     = "mixed"
)

// kernel1 checks slope, ranges, regime, budget and the degraded flag, in this order.
func kernel1(p Params, rec *pcs.Record, t pcs.Tuple) (v Verdict) {
	checks1(&p, rec, t, &v, slopes1(rec, &v))
	return v
}

// checks1 runs the checks of kernel 1 on the middle slopes in v. doubt tells why the slopes cannot be relied
// on.
func checks1(p *Params, rec *pcs.Record, t pcs.Tuple, v *Verdict, doubt string) {
	v.Regime = regime1(p, t)
	v.Budget = budget1(p, t)
	fail := func(bad bool, r Reason, evidence func() string) {
		if !bad {
			return
		}
		if len(v.Reasons) == 0 {
			v.Evidence = evidence()
		}
		v.Reasons = append(v.Reasons, r)
	}
	fail(doubt != "", ReasonDHatUnverifiable, func() string { return doubt })
	fail(doubt == "" && outside(t.DHat, v.DHatLower-p.TolD, v.DHatUpper+p.TolD), ReasonDHatMismatch, func() string {
		return claimed("D_hat", t.DHat) + ", recomputed " + interval(v) + ", tolerance " + p.TolD.Fixed()
	})
	fail(outside(t.DHat, 0, maxDHat), ReasonDHatRange, func() string { return ranged("D_hat", t.DHat, maxDHat) })
	fail(outside(t.CohStar, 0, maxUnit+p.TolCoh), ReasonCohBounds, func() string {
		return ranged("coh_star", t.CohStar, maxUnit+p.TolCoh)
	})
	fail(outside(t.R, 0, maxUnit), ReasonRBounds, func() string { return ranged("r", t.R, maxUnit) })
	fail(outside(t.Budget, 0, maxUnit), ReasonBudgetBounds, func() string {
		return ranged("budget", t.Budget, maxUnit)
	})
	fail(rec.Regime != v.Regime, ReasonRegimeMismatch, func() string {
		return "claimed regime " + rec.Regime + ", recomputed " + v.Regime
	})
	fail(outside(t.Budget, v.Budget-p.TolBudget, v.Budget+p.TolBudget), ReasonBudgetMismatch, func() string {
		return claimed("budget", t.Budget) + ", recomputed " + v.Budget.Fixed() + ", tolerance " + p.TolBudget.Fixed()
	})
	fail(rec.Degraded, ReasonDegraded, func() string { return "the sender marked the record degraded" })
	if len(v.Reasons) == 0 {
		v.Evidence = "every check passed"
	}
}

func outside(v, lo, hi nano.Nano) bool { return v < lo || v > hi }

func claimed(name string, v nano.Nano) string { return "claimed " + name + " " + v.Fixed() }

func ranged(name string, v, hi nano.Nano) string {
	return claimed(name, v) + " is outside " + nano.Nano(0).Fixed() + " to " + hi.Fixed()
}

func interval(v *Verdict) string {
	if v.DHatLower == v.DHatUpper {
		return v.DHatUpper.Fixed()
	}
	return v.DHatLower.Fixed() + " to " + v.DHatUpper.Fixed()
}

// regime1 derives the regime from the claimed values.
func regime1(p *Params, t pcs.Tuple) string {
	switch {
	case t.CohStar >= p.StickyCoh && t.DHat <= p.StickyD:
		return RegimeSticky
	case t.DHat >= p.NonStickyD:
		return RegimeNonSticky
	}
	return RegimeMixed
}

// budget1 computes Base + Alpha(1-r) + Beta max(0, D-D0) + Gamma coh from the claimed values, summed exactly in
// 1e-18, clamped to [0, 1] and rounded to the nearest 1e-9, halves up.
func budget1(p *Params, t pcs.Tuple) nano.Nano {
	over := max(0, t.DHat-p.D0)
	var sum int128
	sum.addProduct(int64(p.Base), int64(nano.One))
	sum.addProduct(int64(p.Alpha), int64(nano.One-t.R))
	sum.addProduct(int64(p.Beta), int64(over))
	sum.addProduct(int64(p.Gamma), int64(t.CohStar))
	one := uint64(nano.One)
	switch {
	case sum.hi < 0:
		return 0
	case sum.hi > 0 || sum.lo >= one*one:
		return nano.One
	}
	return nano.Nano((sum.lo + one/2) / one)
}

// int128 is a signed 128-bit sum, two's complement.
type int128 struct {
	hi int64
	lo uint64
}

// addProduct adds a*b. With factors below 2^53 in size, millions of terms fit.
func (s *int128) addProduct(a, b int64) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if (a < 0) != (b < 0) {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	sum, _ := bits.Add64(uint64(s.hi), hi, carry)
	s.hi = int64(sum)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// slopes1 computes the middle slopes of log2 N over log2 scale for all pairs of distinct listed scales
// (Theil-Sen). It returns why the claim cannot be verified, or "". It may set the slopes in both cases.
func slopes1(rec *pcs.Record, v *Verdict) (doubt string) {
	if len(rec.Scales) == 0 || len(rec.Scales) > pcs.MaxScales {
		return "the number of scales is outside 1 to " + strconv.Itoa(pcs.MaxScales)
	}
	table, doubt, usable := counts1(rec)
	if !usable {
		return doubt
	}
	var logS, logN [pcs.MaxScales]int64
	for i, s := range rec.Scales {
		n, _ := table.find(s)
		logS[i], logN[i] = log2Fixed(uint64(s)), log2Fixed(uint64(table.counts[n]))
	}
	var few [45]int64 // the pairs of ten scales
	all := few[:0]
	for i := range rec.Scales {
		for j := i + 1; j < len(rec.Scales); j++ {
			if slope, ok := slope1(logS[j]-logS[i], logN[j]-logN[i]); ok {
				all = append(all, slope)
			}
		}
	}
	if len(all) == 0 {
		return "fewer than two distinct scales"
	}
	slices.Sort(all)
	v.HasDHat = true
	v.DHatLower, v.DHatUpper = nano.Nano(all[(len(all)-1)/2]), nano.Nano(all[len(all)/2])
	return doubt
}

// slope1 returns dn/ds in 1e-9, halves rounded away from zero, saturating at maxSlope. It returns false if the
// logarithms of the scales are at most 1e-9 apart.
func slope1(ds, dn int64) (int64, bool) {
	den := magnitude(ds)
	if den <= minLogGap {
		return 0, false
	}
	hi, lo := bits.Mul64(magnitude(dn), uint64(nano.One))
	lo, carry := bits.Add64(lo, den/2, 0)
	hi += carry
	q := uint64(maxSlope)
	if hi < den {
		q, _ = bits.Div64(hi, lo, den)
		q = min(q, maxSlope)
	}
	if (ds < 0) != (dn < 0) {
		return -int64(q), true
	}
	return int64(q), true
}

// log2Fixed returns log2 of x >= 1 with logBits fraction bits, by shift and square. It scales x to m in [1, 2)
// with 63 fraction bits. For each bit it squares m and cuts the product (floor) to 62 fraction bits. If the
// result is 2 or more, the bit is 1 and m is halved. The result is never above the true value and less than
// 2^-47 below it.
func log2Fixed(x uint64) int64 {
	exp := bits.Len64(x) - 1
	m := x << (63 - exp)
	var frac int64
	for bit := logBits - 1; bit >= 0 && m != 1<<63; bit-- {
		hi, lo := bits.Mul64(m, m)
		if hi>>63 == 1 {
			frac |= 1 << bit
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return int64(exp)<<logBits | frac
}
