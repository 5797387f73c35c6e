package pcs

import (
	"math"
	"math/bits"
	"strconv"
)

// Tokens of plain records.

// next skips space and reads one character. If another one comes, it stays.
func (p *plain) next(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *plain) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// literal reads true, false or null. If something else comes, it stays.
func (p *plain) literal(word string) bool {
	p.space()
	if end := p.at + len(word); end <= len(p.text) && p.text[p.at:end] == word {
		p.at = end
		return true
	}
	return false
}

// str reads a string of printable ASCII without escapes.
func (p *plain) str() (string, bool) {
	if !p.next('"') {
		return "", false
	}
	from := p.at
	end := from + plainRun(p.text[from:])
	if end == len(p.text) || p.text[end] != '"' {
		return "", false
	}
	p.at = end + 1
	return p.text[from:end], true
}

// plainRun returns the length of the text before the first quote, backslash or byte outside 0x20 to 0x7e. It
// looks at eight bytes at a time. In a mask, the lowest mark is exact and those above it may be false.
func plainRun(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, slash, del := x^'"'*ones, x^'\\'*ones, x^0x7f*ones
		zero := (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del
		if marks := (x | zero | (x-0x20*ones)&^x) & tops; marks != 0 {
			return i + bits.TrailingZeros64(marks)>>3
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// digits reads a whole number without leading zeros. n is its value if it has at most 19 digits.
func digits(s string, from int) (n uint64, end int, ok bool) {
	n, end = moreDigits(s, from, 0)
	return n, end, end == from+1 || end > from && s[from] != '0'
}

// moreDigits continues n with the digits of s.
func moreDigits(s string, from int, n uint64) (uint64, int) {
	for from < len(s) && s[from]-'0' <= 9 {
		n = n*10 + uint64(s[from]-'0')
		from++
	}
	return n, from
}

// tens are the powers of ten for at most 18 decimals. A double holds them exactly.
var tens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18}

// double reads a number and returns it as written and as the nearest double. If the digits and the power of ten
// are exact doubles, then their quotient is the nearest one. strconv computes all others.
func (p *plain) double() (literal string, f float64, ok bool) {
	p.space()
	s, whole := p.text, p.at
	if whole < len(s) && s[whole] == '-' {
		whole++
	}
	n, end, ok := digits(s, whole)
	if !ok {
		return "", 0, false
	}
	size, decimals := end-whole, 0
	if end < len(s) && s[end] == '.' {
		from := end + 1
		n, end = moreDigits(s, from, n)
		decimals = end - from
		size += decimals
		if decimals == 0 {
			return "", 0, false
		}
	}
	exact := size <= len(tens) && n <= 1<<53 // so decimals < len(tens), and n has not overflowed
	if end < len(s) && s[end]|0x20 == 'e' {
		exact = false
		if end, ok = exponent(s, end+1); !ok {
			return "", 0, false
		}
	}
	literal = s[p.at:end]
	p.at = end
	if !exact {
		f, err := strconv.ParseFloat(literal, 64)
		return literal, f, err == nil && !math.IsInf(f, 0)
	}
	if f = float64(n) / tens[decimals]; literal[0] == '-' {
		f = -f
	}
	return literal, f, true
}

// exponent reads the sign and the digits of an exponent.
func exponent(s string, from int) (end int, ok bool) {
	if from < len(s) && (s[from] == '+' || s[from] == '-') {
		from++
	}
	_, end = moreDigits(s, from, 0)
	return end, end > from
}
