package verify

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

func TestGoldenDHat(t *testing.T) {
	t.Parallel()
	var rows []struct {
		Scales       []int64
		NJ           map[string]int64 `json:"N_j"`
		Slopes       int
		Lower, Upper jsonNano
		Unverifiable string
		Note         string
	}
	dataJSON(t, "golden/d_hat.json", &rows)
	for _, row := range rows {
		rec := &pcs.Record{Scales: row.Scales}
		for k, n := range row.NJ {
			rec.NJ = append(rec.NJ, pcs.Count{Key: k, N: n})
		}
		var v Verdict
		doubt := slopes1(rec, &v)
		if row.Unverifiable != "" {
			if doubt == "" || v.HasDHat {
				t.Errorf("%s: verifiable, want %q", row.Note, row.Unverifiable)
			}
			continue
		}
		if !v.HasDHat || v.DHatLower != nano.Nano(row.Lower) || v.DHatUpper != nano.Nano(row.Upper) {
			t.Errorf("%s: %v %s %s, want %s %s", row.Note, v.HasDHat, v.DHatLower, v.DHatUpper, nano.Nano(row.Lower), nano.Nano(row.Upper))
		}
	}
}

func TestGoldenRegimeBudget(t *testing.T) {
	t.Parallel()
	var rows []struct {
		DHat   jsonNano `json:"D_hat"`
		Coh    jsonNano `json:"coh_star"`
		R      jsonNano
		Regime string
		Budget jsonNano
	}
	dataJSON(t, "golden/regime_budget.json", &rows)
	params := DefaultPolicy().Params
	for _, row := range rows {
		tuple := pcs.Tuple{DHat: nano.Nano(row.DHat), CohStar: nano.Nano(row.Coh), R: nano.Nano(row.R)}
		if got := regime1(&params, tuple); got != row.Regime {
			t.Errorf("%+v: regime %s", row, got)
		}
		// The vectors were printed from doubles, where an exact half falls either way.
		down := tie(&params, tuple) && nano.Nano(row.Budget) == budget1(&params, tuple)-1
		if got := budget1(&params, tuple); got != nano.Nano(row.Budget) && !down {
			t.Errorf("%+v: budget %s", row, got)
		}
	}
}

// tie reports whether the exact formula ends on half a unit of 1e-9.
func tie(p *Params, t pcs.Tuple) bool {
	sum := int64(p.Alpha)*int64(1_000_000_000-t.R) + int64(p.Gamma)*int64(t.CohStar) + int64(p.Beta)*int64(max(0, t.DHat-p.D0))
	return sum%1_000_000_000 == 500_000_000
}

// bigLog2 is the definition of log2Fixed with whole numbers of any size.
func bigLog2(x int64) *big.Int {
	m := new(big.Int).Lsh(big.NewInt(x), 63)
	two := new(big.Int).Lsh(big.NewInt(1), 64)
	exp := int64(0)
	for m.Cmp(two) >= 0 {
		m.Rsh(m, 1) // exact: the low 63 bits started as zero
		exp++
	}
	out := big.NewInt(exp)
	for range logBits {
		m.Mul(m, m)
		m.Rsh(m, 63)
		out.Lsh(out, 1)
		if m.Cmp(two) >= 0 {
			m.Rsh(m, 1)
			out.Add(out, big.NewInt(1))
		}
	}
	return out
}

// bigSlope is the definition of slope1: nearest, halves away from zero, saturating.
func bigSlope(ds, dn *big.Int) (int64, bool) {
	gap := new(big.Int).Abs(ds)
	if gap.Cmp(big.NewInt(281474)) <= 0 {
		return 0, false
	}
	num := new(big.Int).Abs(dn)
	num.Mul(num, big.NewInt(2_000_000_000))
	num.Add(num, gap)
	num.Quo(num, new(big.Int).Lsh(gap, 1))
	if limit := big.NewInt(4_000_000_000_000_000_000); num.Cmp(limit) > 0 {
		num = limit
	}
	if ds.Sign()*dn.Sign() < 0 {
		num = new(big.Int).Neg(num)
	}
	return num.Int64(), true
}

// dumbKernel is the second implementation: maps, strings, selection by counting.
func dumbKernel(p *Params, scales []int64, nj map[string]int64, t pcs.Tuple) (lower, upper nano.Nano, ok bool, budget nano.Nano, regime string) {
	ok = true
	var logs, logn []*big.Int
	for _, s := range scales {
		n := nj[strconv.FormatInt(s, 10)]
		if n < 1 {
			ok = false
			break
		}
		logs, logn = append(logs, bigLog2(s)), append(logn, bigLog2(n))
	}
	var all []int64
	for i := 0; ok && i < len(scales); i++ {
		for j := range i {
			if s, has := bigSlope(new(big.Int).Sub(logs[i], logs[j]), new(big.Int).Sub(logn[i], logn[j])); has {
				all = append(all, s)
			}
		}
	}
	if ok = ok && len(all) > 0; ok {
		lower, upper = nano.Nano(ranked(all, (len(all)-1)/2)), nano.Nano(ranked(all, len(all)/2))
	}
	one := big.NewInt(1_000_000_000)
	sum := new(big.Int).Mul(big.NewInt(int64(p.Base)), one)
	term := func(w nano.Nano, v int64) { sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(w)), big.NewInt(v))) }
	term(p.Alpha, 1_000_000_000-int64(t.R))
	if t.DHat > p.D0 {
		term(p.Beta, int64(t.DHat-p.D0))
	}
	term(p.Gamma, int64(t.CohStar))
	sum.Lsh(sum, 1) // nearest, halves up: floor((2 sum + one) / (2 one))
	sum.Add(sum, big.NewInt(1_000_000_000))
	sum.Div(sum, big.NewInt(2_000_000_000)) // Euclidean: floor for a positive divisor
	switch {
	case sum.Sign() < 0:
		sum.SetInt64(0)
	case sum.Cmp(one) > 0:
		sum = one
	}
	regime = "mixed"
	if t.DHat >= p.NonStickyD {
		regime = "non_sticky"
	}
	if t.CohStar >= p.StickyCoh && t.DHat <= p.StickyD {
		regime = "sticky"
	}
	return lower, upper, ok, nano.Nano(sum.Int64()), regime
}

// ranked returns the element that k others sort before.
func ranked(all []int64, k int) int64 {
	for _, v := range all {
		below, same := 0, 0
		for _, w := range all {
			if w < v {
				below++
			} else if w == v {
				same++
			}
		}
		if below <= k && k < below+same {
			return v
		}
	}
	panic("no such rank")
}

func TestSecondImplementation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	random := DefaultPolicy().Params
	random.Alpha, random.Gamma, random.D0 = -7_123_456_789, 999_999_999_999_999, -3_000_000_001
	params := []Params{DefaultPolicy().Params, random}
	for i := range 100_000 {
		p := &params[i%7/6]
		rec := &pcs.Record{}
		nj := map[string]int64{}
		n := 1 + rng.IntN(6)
		if i%5000 == 0 {
			n = pcs.MaxScales
		}
		for range n {
			s := randomScale(rng)
			rec.Scales = append(rec.Scales, s)
			key := strconv.FormatInt(s, 10)
			if _, has := nj[key]; has || rng.IntN(200) == 0 {
				continue
			}
			nj[key] = randomCount(rng)
			rec.NJ = append(rec.NJ, pcs.Count{Key: key, N: nj[key]})
		}
		tuple := pcs.Tuple{DHat: randomSigned(rng), CohStar: randomSigned(rng), R: randomSigned(rng), Budget: randomSigned(rng)}
		var v Verdict
		kernel1Values(p, rec, tuple, &v)
		lower, upper, ok, budget, regime := dumbKernel(p, rec.Scales, nj, tuple)
		if v.HasDHat != ok || v.DHatLower != lower || v.DHatUpper != upper || v.Budget != budget || v.Regime != regime {
			t.Fatalf("%v %v %+v: kernel %+v, second implementation %s %s %v %s %s", rec.Scales, rec.NJ, tuple, v, lower, upper, ok, budget, regime)
		}
		w := kernel2(*p, rec, tuple)
		if mean := bigMean(int64(lower), int64(upper)); w.HasDHat != ok || w.DHatLower != mean || w.DHatUpper != mean || w.Budget != budget || w.Regime != regime {
			t.Fatalf("%v %v %+v: kernel 2 %+v, second implementation %s", rec.Scales, rec.NJ, tuple, w, mean)
		}
	}
}

// bigMean is the mean of two numbers, halves rounded away from zero.
func bigMean(a, b int64) nano.Nano {
	sum := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
	half, rest := new(big.Int).QuoRem(sum, big.NewInt(2), new(big.Int))
	return nano.Nano(half.Add(half, rest).Int64())
}

func kernel1Values(p *Params, rec *pcs.Record, tuple pcs.Tuple, v *Verdict) {
	slopes1(rec, v)
	v.Budget, v.Regime = budget1(p, tuple), regime1(p, tuple)
}

func randomScale(rng *rand.Rand) int64 {
	switch rng.IntN(8) {
	case 0:
		return 1 + rng.Int64N(math.MaxInt64)
	case 1:
		return 1<<40 + rng.Int64N(1<<12)
	case 2, 3:
		return 1 + rng.Int64N(100)
	}
	return 1 << (1 + rng.IntN(7))
}

func randomCount(rng *rand.Rand) int64 {
	switch rng.IntN(10) {
	case 0:
		return rng.Int64N(math.MaxInt64)
	case 1:
		return -rng.Int64N(3)
	}
	return 1 + rng.Int64N(5000)
}

func randomSigned(rng *rand.Rand) nano.Nano {
	if rng.IntN(10) == 0 {
		return nano.Nano(rng.Int64N(2*int64(maxParam)) - int64(maxParam))
	}
	return nano.Nano(rng.Int64N(5_000_000_000) - 500_000_000)
}

// The definition agrees with the mathematical logarithm as closely as it says.
func TestLog2Accuracy(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 20_000 {
		x := uint64(i + 1)
		if i >= 10_000 {
			x = rng.Uint64()>>rng.IntN(60) | 1
		}
		got := float64(log2Fixed(x)) / (1 << logBits)
		if want := math.Log2(float64(x)); got > want+1e-13 || got < want-1e-13 {
			t.Fatalf("log2(%d) = %.15f, want %.15f", x, got, want)
		}
	}
	for k := range 63 {
		if got := log2Fixed(1 << k); got != int64(k)<<logBits {
			t.Fatalf("log2(2^%d) = %d", k, got)
		}
	}
}

func TestScaleOfKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key       string
		scale     int64
		canonical bool
		ok        bool
	}{
		{"2", 2, true, true}, {"9223372036854775807", math.MaxInt64, true, true}, {"9223372036854775808", 0, false, false},
		{"02", 2, false, true}, {"2.0", 2, false, true}, {" 2", 2, false, true}, {"+2", 2, false, true}, {"2e0", 2, false, true},
		{"20e-1", 2, false, true}, {"0.2E+1", 2, false, true}, {".2e1", 2, false, true}, {"2.", 2, false, true},
		{"2.5", 0, false, false}, {"-2", 0, false, false}, {"", 0, false, false}, {"0", 0, false, false}, {"two", 0, false, false},
		{"e1", 0, false, false}, {"2e", 0, false, false}, {"2e99999999999999999999", 0, false, false}, {"2x", 0, false, false},
		{"1e18", 1_000_000_000_000_000_000, false, true}, {"1e19", 0, false, false}, {"+", 0, false, false}, {".", 0, false, false},
	} {
		scale, canonical, ok := scaleOfKey(c.key)
		if ok != c.ok || canonical != c.canonical || ok && scale != c.scale {
			t.Errorf("%q: %d %v %v", c.key, scale, canonical, ok)
		}
	}
}

// Zero-slope and saturated pairs, and scales too close to tell apart.
func TestSlopeEdges(t *testing.T) {
	t.Parallel()
	if _, ok := slope1(minLogGap, 1<<50); ok {
		t.Error("a gap of 1e-9 gives a slope")
	}
	if s, ok := slope1(minLogGap+1, math.MaxInt64); !ok || s != maxSlope {
		t.Errorf("not saturated: %d %v", s, ok)
	}
	if s, ok := slope1(-minLogGap-1, math.MaxInt64); !ok || s != -maxSlope {
		t.Errorf("not saturated: %d %v", s, ok)
	}
	if s, _ := slope1(2_000_000_000, 1); s != 1 { // half a unit
		t.Errorf("half rounds to %d", s)
	}
	if s, _ := slope1(2_000_000_000, -1); s != -1 {
		t.Errorf("minus half rounds to %d", s)
	}
}
