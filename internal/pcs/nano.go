package pcs

import (
	"errors"
	"fmt"
	"strconv"
)

// Nano is a number in units of 1e-9.
type Nano int64

// NanoOne is 1.
const NanoOne Nano = 1_000_000_000

// ErrNano is wrapped by every error of ParseNano.
var ErrNano = errors.New("pcs: not a plain decimal with at most nine decimals")

// String always has nine decimals: "1.412345679", "-0.500000000".
func (n Nano) String() string {
	u := uint64(n)
	sign := ""
	if n < 0 {
		sign, u = "-", -u
	}
	frac := strconv.FormatUint(u%uint64(NanoOne)+uint64(NanoOne), 10)[1:]
	return sign + strconv.FormatUint(u/uint64(NanoOne), 10) + "." + frac
}

// ParseNano reads a plain decimal such as "0.15" or "-3", with at most nine decimals and an absolute value of at most 9e9.
func ParseNano(s string) (Nano, error) {
	bad := fmt.Errorf("%w: %q", ErrNano, s)
	rest, neg := s, false
	if len(rest) > 0 && rest[0] == '-' {
		rest, neg = rest[1:], true
	}
	var n uint64
	digits, decimals, point := 0, 0, false
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == '.' && !point && digits > 0:
			point = true
		case c >= '0' && c <= '9' && decimals < 9 && n < 1e18:
			n = n*10 + uint64(c-'0')
			digits++
			if point {
				decimals++
			}
		default:
			return 0, bad
		}
	}
	if digits == 0 || point && decimals == 0 {
		return 0, bad
	}
	for ; decimals < 9; decimals++ {
		if n > 9e18/10 {
			return 0, bad
		}
		n *= 10
	}
	if n > 9e18 {
		return 0, bad
	}
	if neg {
		return -Nano(n), nil
	}
	return Nano(n), nil
}
