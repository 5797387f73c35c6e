package wire

import (
	"errors"
	"fmt"
	"strconv"
)

// Nano is a decimal number in units of 1e-9. In JSON it is a plain decimal number without exponent and
// without superfluous zeros (1.412345679, 0.5, 3, -0.25), so no digit is lost on the way through a double.
type Nano int64

const nanoOne = 1_000_000_000

// ErrNano is wrapped by every error about the text of a Nano.
var ErrNano = errors.New("not a plain decimal with at most nine decimals")

// NanoPtr returns a pointer to n, for the optional members of the answers.
func NanoPtr(n Nano) *Nano { return &n }

// AppendText appends the shortest plain decimal that is exactly n.
func (n Nano) AppendText(dst []byte) ([]byte, error) {
	u := uint64(n)
	if n < 0 {
		dst = append(dst, '-')
		u = -u
	}
	dst = strconv.AppendUint(dst, u/nanoOne, 10)
	frac := u % nanoOne
	if frac == 0 {
		return dst, nil
	}
	digits := [10]byte{'.'}
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + frac%10)
		frac /= 10
	}
	end := 10
	for digits[end-1] == '0' {
		end--
	}
	return append(dst, digits[:end]...), nil
}

// String gives the same text as the JSON form.
func (n Nano) String() string {
	text, _ := n.AppendText(make([]byte, 0, 24))
	return string(text)
}

// MarshalJSON writes n as a JSON number.
func (n Nano) MarshalJSON() ([]byte, error) { return n.AppendText(make([]byte, 0, 24)) }

// UnmarshalJSON reads a plain decimal JSON number; more than nine decimals, an exponent or a value that
// does not fit are refused with ErrNano.
func (n *Nano) UnmarshalJSON(text []byte) error {
	v, err := ParseNano(string(text))
	if err != nil {
		return err
	}
	*n = v
	return nil
}

// ParseNano reads what String writes; trailing zeros are allowed.
func ParseNano(s string) (Nano, error) {
	rest, negative := s, false
	if rest != "" && rest[0] == '-' {
		rest, negative = rest[1:], true
	}
	whole, decimals, point := uint64(0), -1, false
	digits := 0
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == '.' && !point && digits > 0:
			point, decimals = true, 0
		case c >= '0' && c <= '9' && decimals < 9 && whole <= (1<<63-1-uint64(c-'0'))/10:
			whole = whole*10 + uint64(c-'0')
			digits++
			if point {
				decimals++
			}
		default:
			return 0, fmt.Errorf("%q: %w", s, ErrNano)
		}
	}
	if digits == 0 || decimals == 0 {
		return 0, fmt.Errorf("%q: %w", s, ErrNano)
	}
	for i := max(decimals, 0); i < 9; i++ {
		if whole > (1<<63-1)/10 {
			return 0, fmt.Errorf("%q: %w", s, ErrNano)
		}
		whole *= 10
	}
	if negative {
		return -Nano(whole), nil
	}
	return Nano(whole), nil
}
