package pcs

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/nano"
)

// round applies the rounding rule of a profile: bin (exact value, ties to even), dec (shortest text, half away
// from zero), mulup (times 1e9 in doubles, half upwards) or mul (times 1e9 in doubles, half away from zero).
func round(x float64, p Profile) nano.Nano {
	switch p {
	case F9, PyUTF8, PyBin:
		if n, ok := roundBin(x); ok {
			return n
		}
		return fromFixed(strconv.AppendFloat(make([]byte, 0, 24), x, 'f', 9, 64))
	case Py:
		return roundDec(x)
	case ES:
		y := float64(x * 1e9)
		floor := math.Floor(y)
		if float64(y-floor) >= 0.5 {
			floor++
		}
		return nano.Nano(floor)
	}
	return nano.Nano(math.Round(float64(x * 1e9)))
}

// roundBin rounds the exact value of x to a multiple of 1e-9, ties to even, in integers. ok is false if x is
// beyond any signed number.
func roundBin(x float64) (n nano.Nano, ok bool) {
	if !(math.Abs(x) <= MaxMagnitude) {
		return 0, false
	}
	b := math.Float64bits(x)
	mantissa, exponent := b&(1<<52-1), int(b>>52&0x7ff)
	if exponent > 0 {
		mantissa |= 1 << 52
	} else {
		exponent = 1
	}
	// The value is product / 2^shift. shift is at least 33, and the product is below 2^83.
	hi, lo := bits.Mul64(mantissa, uint64(nano.One))
	shift := uint(1075 - exponent)
	if shift > 84 {
		return 0, true
	}
	var whole, rest, sticky uint64 // rest is the fraction in units of 2^-64, sticky what is below
	if shift < 64 {
		whole, rest = hi<<(64-shift)|lo>>shift, lo<<(64-shift)
	} else {
		shift -= 64
		whole, rest, sticky = hi>>shift, hi<<(64-shift)|lo>>shift, lo<<(64-shift)
	}
	const half = 1 << 63
	if rest > half || rest == half && (sticky != 0 || whole&1 == 1) {
		whole++
	}
	if math.Signbit(x) {
		return -nano.Nano(whole), true
	}
	return nano.Nano(whole), true
}

// appendFixed formats x with nine decimals.
func appendFixed(dst []byte, x float64) []byte {
	n, ok := roundBin(x)
	if !ok {
		return strconv.AppendFloat(dst, x, 'f', 9, 64)
	}
	if math.Signbit(x) {
		dst, n = append(dst, '-'), -n
	}
	dst = append(strconv.AppendInt(dst, int64(n/nano.One), 10), ".000000000"...)
	for i, rest := len(dst)-1, n%nano.One; rest > 0; i, rest = i-1, rest/10 {
		dst[i] = '0' + byte(rest%10)
	}
	return dst
}

// fromFixed parses a text with nine decimals.
func fromFixed(text []byte) nano.Nano {
	var n nano.Nano
	for _, c := range text {
		if c >= '0' && c <= '9' {
			n = n*10 + nano.Nano(c-'0')
		}
	}
	if text[0] == '-' {
		return -n
	}
	return n
}

// roundDec rounds the shortest decimal text of x half away from zero at the ninth decimal.
func roundDec(x float64) nano.Nano {
	text := strconv.AppendFloat(make([]byte, 0, 32), math.Abs(x), 'f', -1, 64)
	whole, frac, _ := strings.Cut(string(text), ".")
	up := len(frac) > 9 && frac[9] >= '5'
	if len(frac) > 9 {
		frac = frac[:9]
	}
	n := fromFixed([]byte(whole + frac + "000000000"[len(frac):]))
	if up {
		n++
	}
	if math.Signbit(x) {
		return -n
	}
	return n
}
