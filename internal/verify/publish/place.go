package publish

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// place converts a position in the text of a scalar, counted from 1, to a position in the document. If the text
// is folded over several lines, place returns the position of the scalar, and exact is false.
func place(lines []string, n *yaml.Node, line, column int) (docLine, docColumn int, exact bool) {
	if n.Style == yaml.LiteralStyle || n.Style == yaml.FoldedStyle {
		if indent, ok := indentation(lines, n, line); ok {
			return n.Line + line, indent + column, true
		}
	} else if line == 1 && n.Line <= len(lines) {
		source := []rune(lines[n.Line-1])
		if width, ok := width(source[min(n.Column-1, len(source)):], n, column-1); ok {
			return n.Line, n.Column + width, true
		}
	}
	return n.Line, n.Column, false
}

// indentation returns the number of spaces before a line of a block scalar that stands in the document
// unchanged.
func indentation(lines []string, n *yaml.Node, line int) (int, bool) {
	text := strings.Split(n.Value, "\n")
	if line > len(text) || n.Line+line > len(lines) {
		return 0, false
	}
	source := strings.TrimSuffix(lines[n.Line+line-1], "\r")
	indent, ok := strings.CutSuffix(source, text[line-1])
	return len(indent), ok && strings.Trim(indent, " ") == ""
}

// width returns the number of characters that the first characters of a scalar take in the line of the
// document.
func width(source []rune, n *yaml.Node, characters int) (int, bool) {
	at := 0
	if n.Style == yaml.SingleQuotedStyle || n.Style == yaml.DoubleQuotedStyle {
		at = 1 // the quote
	}
	for _, c := range []rune(n.Value)[:min(characters, len([]rune(n.Value)))] {
		switch {
		case at >= len(source):
			return 0, false
		case n.Style == yaml.DoubleQuotedStyle && source[at] == '\\':
			at += escape(source[at:])
		case source[at] != c:
			return 0, false
		case n.Style == yaml.SingleQuotedStyle && c == '\'':
			at += 2
		default:
			at++
		}
	}
	return at, true
}

// escape returns the length of an escape sequence of a double-quoted scalar.
func escape(source []rune) int {
	if len(source) > 1 {
		switch source[1] {
		case 'x':
			return 4
		case 'u':
			return 6
		case 'U':
			return 10
		}
	}
	return 2
}
