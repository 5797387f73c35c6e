package term

import (
	"strings"
	"unicode"
)

// ellipsis shows that a text goes on.
const ellipsis = "…"

// wide are the ranges of characters that take two columns on a terminal.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97f, 1},
		{0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x16fe0, 0x18aff, 1}, {0x1b000, 0x1b2ff, 1}, {0x1f000, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
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
