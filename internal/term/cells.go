package term

import (
	"strings"
	"unicode"
)

// ellipsis shows that a text goes on.
const ellipsis = "…"

// wide are the ranges of characters that take two columns on a terminal (Unicode, EastAsianWidth: W and F). Where
// a range has gaps of narrow characters, these count as wide, too: a line may end early, never late.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x231a, 0x231b, 1}, {0x2329, 0x232a, 1}, {0x23e9, 0x23ec, 1},
		{0x23f0, 0x23f3, 3}, {0x25fd, 0x25fe, 1}, {0x2614, 0x2615, 1}, {0x2630, 0x2637, 1}, {0x2648, 0x2653, 1},
		{0x267f, 0x2693, 20}, {0x268a, 0x268f, 1}, {0x26a1, 0x26a1, 1}, {0x26aa, 0x26ab, 1}, {0x26bd, 0x26be, 1},
		{0x26c4, 0x26c5, 1}, {0x26ce, 0x26d4, 6}, {0x26ea, 0x26ea, 1}, {0x26f2, 0x26f3, 1}, {0x26f5, 0x26fa, 5},
		{0x26fd, 0x26fd, 1}, {0x2705, 0x2705, 1}, {0x270a, 0x270b, 1}, {0x2728, 0x2728, 1}, {0x274c, 0x274e, 2},
		{0x2753, 0x2755, 1}, {0x2757, 0x2757, 1}, {0x2795, 0x2797, 1}, {0x27b0, 0x27bf, 15}, {0x2b1b, 0x2b1c, 1},
		{0x2b50, 0x2b55, 5}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97f, 1}, {0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1}, {0xfe10, 0xfe19, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x16fe0, 0x18aff, 1}, {0x18b00, 0x18dff, 1}, {0x1aff0, 0x1b2ff, 1}, {0x1d300, 0x1d376, 1},
		{0x1f000, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// Width is the number of columns that a text takes.
func Width(s string) (n int) {
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// Cut shortens a text to so many columns and ends it with an ellipsis then.
func Cut(s string, columns int) string {
	if Width(s) <= columns {
		return s
	}
	if columns < 1 {
		return ""
	}
	return head(s, columns-1) + ellipsis
}

// head is the beginning of a text, at most so many columns of it.
func head(s string, columns int) string {
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > columns {
			return s[:i]
		}
	}
	return s
}

// Wrap breaks a text at its blanks into lines of at most so many columns. A longer word, such as an id, stays
// whole, so that it can be copied. With columns below 1 the text stays one line.
func Wrap(s string, columns int) []string {
	if columns < 1 || Width(s) <= columns {
		return []string{s}
	}
	var lines []string
	for _, word := range strings.Split(s, " ") {
		if last := len(lines) - 1; last >= 0 && Width(lines[last])+1+Width(word) <= columns {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// ShortID cuts a long id in hex to digits that still name it. A prefix such as "hmac-" stays.
func ShortID(id string, digits int) string {
	start := strings.LastIndexByte(id, '-') + 1
	if rest := id[start:]; len(rest) > digits && strings.Trim(rest, "0123456789abcdefABCDEF") == "" {
		return id[:start+digits]
	}
	return id
}
