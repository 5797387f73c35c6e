package verify

import (
	"math"
	"slices"
	"strconv"

	"github.com/recount-ledger/recount/internal/pcs"
)

// scaleTable holds the distinct scales in ascending order with their counts.
type scaleTable struct {
	scales, counts [pcs.MaxScales]int64
	seen           uint64 // bit i: scales[i] has a count under its canonical key
	n              int
}

func (t *scaleTable) find(scale int64) (int, bool) {
	return slices.BinarySearch(t.scales[:t.n], scale)
}

// counts1 looks up the count of every listed scale under its plain decimal key. doubt tells why the claim
// cannot be verified. usable reports whether every scale has a positive count.
func counts1(rec *pcs.Record) (t scaleTable, doubt string, usable bool) {
	sorted := t.scales[:copy(t.scales[:], rec.Scales)]
	slices.Sort(sorted)
	t.n = len(slices.Compact(sorted))
	if t.scales[0] < 1 {
		return t, "a scale is below 1", false
	}
	ambiguous := ""
	for i := range rec.NJ {
		c := &rec.NJ[i]
		scale, canonical, ok := scaleOfKey(c.Key)
		if !ok {
			continue
		}
		k, listed := t.find(scale)
		switch {
		case !listed:
		case canonical:
			t.counts[k], t.seen = c.N, t.seen|1<<k
		case ambiguous == "":
			ambiguous = "scale " + strconv.FormatInt(scale, 10) + " has more than one count"
		}
	}
	for k := range t.n {
		if t.seen>>k&1 == 0 {
			return t, "no count for scale " + strconv.FormatInt(t.scales[k], 10), false
		}
		if t.counts[k] < 1 {
			return t, "the count of scale " + strconv.FormatInt(t.scales[k], 10) + " is below 1", false
		}
	}
	if ambiguous != "" {
		return t, ambiguous, true
	}
	if t.n == 1 {
		return t, "fewer than two distinct scales", false
	}
	if t.n < len(rec.Scales) {
		return t, "a scale is listed twice", true
	}
	return t, "", true
}

// scaleOfKey parses a key of N_j. canonical means the plain decimal of a positive int64, the only spelling that
// the kernel uses. Any other text with the same value ("02", " 2", "+2", "2.0", "2e0") gives canonical = false.
// ok is false for texts that are not a whole positive int64.
func scaleOfKey(key string) (scale int64, canonical, ok bool) {
	if v, plain := plainDecimal(key); plain {
		return v, true, true
	}
	v, ok := looseDecimal(key)
	return v, false, ok
}

func plainDecimal(s string) (int64, bool) {
	if s == "" || len(s) > 19 || s[0] == '0' {
		return 0, false
	}
	var v uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = v*10 + uint64(s[i]-'0')
	}
	return int64(v), v <= math.MaxInt64
}

// looseDecimal parses [space][+]digits[.digits][(e|E)[sign]digits][space] exactly.
func looseDecimal(s string) (int64, bool) {
	s = trimSpace(s)
	if s != "" && s[0] == '+' {
		s = s[1:]
	}
	whole, s := cutDigits(s)
	frac := ""
	if s != "" && s[0] == '.' {
		frac, s = cutDigits(s[1:])
	}
	exp, ok := looseExponent(s)
	if !ok || whole == "" && frac == "" {
		return 0, false
	}
	return shiftDecimal(whole, frac, exp)
}

// shiftDecimal returns whole.frac times 10^exp if that is a positive int64.
func shiftDecimal(whole, frac string, exp int) (int64, bool) {
	point := len(whole) + exp // digits before the point, in whole+frac
	var v uint64
	digits := 0
	for i := 0; i < len(whole)+len(frac) || i < point; i++ {
		d := byte('0')
		if i < len(whole) {
			d = whole[i]
		} else if i < len(whole)+len(frac) {
			d = frac[i-len(whole)]
		}
		if i >= point {
			if d != '0' {
				return 0, false
			}
			continue
		}
		if digits > 0 || d != '0' {
			digits++
		}
		if digits > 19 {
			return 0, false
		}
		v = v*10 + uint64(d-'0')
	}
	return int64(v), v > 0 && v <= math.MaxInt64
}

func looseExponent(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative, s = s[0] == '-', s[1:]
	}
	digits, rest := cutDigits(s)
	if digits == "" || rest != "" {
		return 0, false
	}
	exp := 0
	for i := range len(digits) {
		exp = min(exp*10+int(digits[i]-'0'), maxSpelling)
	}
	if negative {
		exp = -exp
	}
	return exp, true
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] >= '\t' && s[0] <= '\r') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] >= '\t' && s[len(s)-1] <= '\r') {
		s = s[:len(s)-1]
	}
	return s
}
