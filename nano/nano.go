// Package nano holds decimal numbers in units of 1e-9. A ledger that must give the same answer on every machine
// permanently cannot judge floating point numbers, so D_hat, coh_star, r and the budget are integers here:
//
//	1.412345679  is  Nano(1412345679)
//	-0.5         is  Nano(-500000000)
//	9000000000   is  the largest value that Parse reads
//
// A Nano is written in two ways. String and JSON give the shortest plain decimal (1.412345679, 0.5, 3), so that
// no digit is lost on the way through a double. Fixed always gives nine decimals (0.500000000). Policies and
// reasons that the ledger stores use Fixed: their bytes are hashed.
package nano

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Nano is a number in units of 1e-9.
type Nano int64

// One is 1.
const One Nano = 1_000_000_000

// maxParsed is the largest magnitude that Parse reads: 9e9 in units of 1e-9.
const maxParsed = 9_000_000_000_000_000_000

// ErrSyntax is wrapped by every error of Parse and UnmarshalJSON.
var ErrSyntax = errors.New("not a plain decimal with at most nine decimals")

// Ptr returns a pointer to n, for optional members of JSON objects.
func Ptr(n Nano) *Nano { return &n }

// split returns the sign, the digits before the point and the nine digits after it.
func (n Nano) split() (sign, whole, decimals string) {
	u := uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	one := uint64(One)
	return sign, strconv.FormatUint(u/one, 10), strconv.FormatUint(u%one+one, 10)[1:]
}

// Fixed returns the plain decimal with nine decimals: "1.412345679", "-0.500000000".
func (n Nano) Fixed() string {
	sign, whole, decimals := n.split()
	return sign + whole + "." + decimals
}

// AppendText appends the shortest plain decimal that is exactly n.
func (n Nano) AppendText(dst []byte) ([]byte, error) {
	u := uint64(n)
	if n < 0 {
		dst, u = append(dst, '-'), -u
	}
	one := uint64(One)
	dst = strconv.AppendUint(dst, u/one, 10)
	rest := u % one
	if rest == 0 {
		return dst, nil
	}
	dst = append(dst, '.')
	for rest != 0 {
		one /= 10
		dst = append(dst, byte('0'+rest/one))
		rest %= one
	}
	return dst, nil
}

// String returns the shortest plain decimal that is exactly n: "1.412345679", "0.5", "3".
func (n Nano) String() string {
	text, _ := n.AppendText(make([]byte, 0, 24))
	return string(text)
}

// MarshalJSON writes n as a JSON number, in the form of String.
func (n Nano) MarshalJSON() ([]byte, error) { return n.AppendText(make([]byte, 0, 24)) }

// UnmarshalJSON reads whatever MarshalJSON writes. A number with an exponent or with more than nine decimals
// gives ErrSyntax.
func (n *Nano) UnmarshalJSON(text []byte) error {
	limit := uint64(math.MaxInt64)
	if len(text) > 0 && text[0] == '-' {
		limit++ // an int64 reaches one further below zero
	}
	v, err := parse(string(text), limit)
	if err != nil {
		return err
	}
	*n = v
	return nil
}

// Parse reads a plain decimal such as "0.15" or "-3", with at most nine decimals and a magnitude of at most 9e9.
func Parse(s string) (Nano, error) { return parse(s, maxParsed) }

func parse(s string, limit uint64) (Nano, error) {
	bad := fmt.Errorf("%w: %q", ErrSyntax, s)
	rest, negative := s, false
	if rest != "" && rest[0] == '-' {
		rest, negative = rest[1:], true
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
		if n > limit/10 {
			return 0, bad
		}
		n *= 10
	}
	switch {
	case n > limit:
		return 0, bad
	case negative:
		return -Nano(n), nil
	}
	return Nano(n), nil
}
