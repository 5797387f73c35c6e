package term

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestWidth: letters take one column, the characters of East Asia and emoji two, accents that stand on a letter none.
func TestWidth(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 0},
		{"a", 1},
		{"audit", 5},
		{"ä", 1},
		{"a\u0308", 1},             // the same, in two characters
		{"\u0308", 0},              // an accent alone
		{"e\u0301\u0323\u20dd", 1}, // several, one of them enclosing
		{"日本", 4},
		{"한글", 4},
		{"\u1100", 2}, // the first part of a syllable
		{"ｆｕｌｌ", 8},
		{"ﾊﾝ", 2}, // narrow forms
		{"。、", 4},
		{"〇", 2},
		{"𠀀", 2}, // beyond 16 bits
		{"😀", 2},
		{"✅", 2},
		{"❌", 2},
		{"⌚", 2},
		{"⏰⏳", 4},
		{"⏱", 1}, // between them, and drawn in one
		{"☔☕", 4},
		{"♈♓", 4},
		{"♿⚓", 4},
		{"⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪", 20},
		{"✊✋✨❓❕❗➕➗➰➿⬛⬜⭐⭕", 28},
		{"✓✗→…", 4},
		{"\u2329\u232a", 4},
		{"a日b", 4},
		{"\xff", 1}, // no UTF-8: one replacement
	} {
		if got := Width(c.text); got != c.want {
			t.Errorf("%q: %d columns, want %d", c.text, got, c.want)
		}
	}
}

// texts are of every width, so that a cut falls into, before and behind what takes two columns or none.
var texts = []string{"", "a", "audit list", "日本語の記録", "a日b本c", "e\u0301e\u0301e\u0301", "✅ done", "x\u0308", "\xff\xfe bytes",
	strings.Repeat("字", 40)}

// TestCut: what is cut fits, begins like the whole, ends with an ellipsis, and is as long as it can be. What fits is
// left as it is.
func TestCut(t *testing.T) {
	for _, text := range texts {
		for columns := -1; columns < 90; columns++ {
			got := Cut(text, columns)
			if Width(text) <= columns {
				if got != text {
					t.Errorf("%q in %d columns: %q, and it fits", text, columns, got)
				}
				continue
			}
			begins, cut := strings.CutSuffix(got, ellipsis)
			switch {
			case columns < 1:
				if got != "" && text != "" {
					t.Errorf("%q in %d columns: %q", text, columns, got)
				}
			case !cut || Width(got) > columns || !strings.HasPrefix(text, begins):
				t.Errorf("%q in %d columns: %q", text, columns, got)
			case Width(got) < columns-1:
				t.Errorf("%q in %d columns: %q, and there is space for one character more", text, columns, got)
			case utf8.ValidString(text) && !utf8.ValidString(got):
				t.Errorf("%q in %d columns is cut in a character: %q", text, columns, got)
			}
		}
	}
}

// TestHead: an accent stays on its letter.
func TestHead(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"abc", 2, "ab"},
		{"abc", 3, "abc"},
		{"abc", 0, ""},
		{"e\u0301e\u0301", 1, "e\u0301"},
		{"日本", 3, "日"},
		{"日本", 1, ""},
		{"a日", 2, "a"},
		{"\u0301", 0, "\u0301"},
	} {
		if got := head(c.text, c.columns); got != c.want {
			t.Errorf("%q, %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

// TestWrapLines: the very lines, with the edges of the width.
func TestWrapLines(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string // lines, with a bar between two
	}{
		{"", 5, ""},
		{"one", 3, "one"},
		{"one", 2, "one"},
		{"one two", 7, "one two"},
		{"one two", 6, "one|two"},
		{"one two three", 9, "one two|three"},
		{"a bb ccc", 4, "a bb|ccc"},
		{"a bb ccc", 3, "a|bb|ccc"},
		{"日本 語", 7, "日本 語"},
		{"日本 語", 6, "日本|語"},
		{"e\u0301 e\u0301", 3, "e\u0301 e\u0301"},
		{"one two", 0, "one two"},
		{"one two", -3, "one two"},
		{"  in", 2, " |in"},
		{"one  two", 4, "one |two"},
	} {
		if got := strings.Join(Wrap(c.text, c.columns), "|"); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

// TestShortIDEdges: only what is hex and longer is cut, behind its last prefix.
func TestShortIDEdges(t *testing.T) {
	for _, c := range []struct {
		id     string
		digits int
		want   string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdef0", 6, "abcdef"},
		{"ABCDEF0", 6, "ABCDEF"},
		{"abcdefg", 6, "abcdefg"},
		{"ed-abcdef0", 6, "ed-abcdef"},
		{"a-b-abcdef0", 6, "a-b-abcdef"},
		{"ed-", 6, "ed-"},
		{"-abcdef0", 6, "-abcdef"},
		{"abcdef0-", 6, "abcdef0-"},
		{"lab-alpha", 2, "lab-alpha"},
		{"abc", 0, ""},
	} {
		if got := ShortID(c.id, c.digits); got != c.want {
			t.Errorf("%q, %d digits: %q, want %q", c.id, c.digits, got, c.want)
		}
	}
}

// TestVisible: what moves the cursor, hides or turns text is spelled out, and everything else stays as it is.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"plain text":            "plain text",
		"two\nlines\tand a tab": "two\nlines\tand a tab",
		"a\rb":                  `a\u000db`,
		"\x1b[31mred":           `\u001b[31mred`,
		"nul\x00":               `nul\u0000`,
		"del\x7f":               `del\u007f`,
		"c1\u009b":              `c1\u009b`,
		"\u202egnp.exe":         `\u202egnp.exe`,
		"zero\u200bwidth":       `zero\u200bwidth`,
		"join\u200der":          `join\u200der`,
		"\ufeffmark":            `\ufeffmark`,
		"line\u2028para\u2029":  `line\u2028para\u2029`,
		"soft\u00adhyphen":      `soft\u00adhyphen`,
		"tag\U000e0041":         `tag\ue0041`,
		"日本 ä e\u0301 ✅":        "日本 ä e\u0301 ✅",
		`\u202e`:                `\u202e`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if again := Visible(Visible(in)); again != Visible(in) {
			t.Errorf("%q: twice it is %q", in, again)
		}
	}
}
