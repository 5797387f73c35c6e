package term

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var hostile = []string{strings.Repeat("x", 300), strings.Repeat("字", 90), "e\u0301" + strings.Repeat("o\u0308", 99), "", "a"}

func sample(s Screen, f Form) (*Table, *bytes.Buffer) {
	var out bytes.Buffer
	return NewTable(&out, s, f, Column{Name: "SEQ", Kind: Number, Rank: 1}, Column{Name: "WHEN", Kind: Time, Rank: 4}, Column{Name: "OUTCOME", Kind: Word, Rank: 2},
		Column{Name: "TEXT", Rank: 3, Min: 10}, Column{Name: "PCS_ID", Kind: ID, Rank: 5}, Column{Name: "MORE", Wide: true}), &out
}

// TestNoLineIsTooLong: at every width, whatever is in the cells, and also when the widths were chosen before they came.
func TestNoLineIsTooLong(t *testing.T) {
	for width := 1; width < 200; width++ {
		for _, each := range []bool{false, true} {
			table, out := sample(Screen{Width: width}, Form{})
			for i, text := range hostile {
				err := table.Row(strings.Repeat("9", 1+6*i), "2026-01-02T03:04:05Z", "refused", text, strings.Repeat("ab", 32), "more")
				if each {
					err = errors.Join(err, table.Flush())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := table.Flush(); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := Width(strings.TrimSuffix(line, "\n")); n > width {
					t.Fatalf("a line of %d columns on a screen of %d:\n%s", n, width, out)
				}
			}
		}
	}
}

// TestPipesAndWideTables get every cell, the wide ones in full.
func TestPipesAndWideTables(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for _, c := range []struct {
		screen Screen
		form   Form
		whole  bool
	}{{Screen{}, Form{}, false}, {Screen{Width: 40}, Form{Wide: true}, true}} {
		table, out := sample(c.screen, c.form)
		if err := errors.Join(table.Row("7", "2026-01-02T03:04:05.123Z", "refused", hostile[0], id, "more"), table.Flush()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), hostile[0]) || strings.Contains(out.String(), id) != c.whole || strings.Contains(out.String(), "MORE") != c.whole ||
			!strings.Contains(out.String(), id[:16]) {
			t.Errorf("%+v:\n%s", c, out)
		}
	}
}

// TestLeastImportantColumnsGoFirst and those that stay are aligned.
func TestLeastImportantColumnsGoFirst(t *testing.T) {
	for width, want := range map[int]string{
		120: "SEQ  WHEN                  OUTCOME   TEXT                PCS_ID\n  7  2026-01-02T03:04:05Z  accepted  one two three four  abababababababab\n",
		62:  "SEQ  WHEN                  OUTCOME   TEXT         PCS_ID\n  7  2026-01-02T03:04:05Z  accepted  one two th…  abababababab\n",
		50:  "SEQ  WHEN                  OUTCOME   TEXT\n  7  2026-01-02T03:04:05Z  accepted  one two thre…\n",
		40:  "SEQ  OUTCOME   TEXT\n  7  accepted  one two three four\n",
		20:  "SEQ  OUTCOME\n  7  accepted\n",
	} {
		table, out := sample(Screen{Width: width}, Form{})
		if err := errors.Join(table.Row("7", "2026-01-02T03:04:05Z", "accepted", "one two three four", strings.Repeat("ab", 32), ""), table.Flush()); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%d columns:\n%s\nwant:\n%s", width, out, want)
		}
	}
}

func TestRowsHaveACellForEachColumn(t *testing.T) {
	table, out := sample(Screen{}, Form{})
	if err := table.Row("7", "no answer"); err == nil || table.Flush() == nil || out.Len() != 0 {
		t.Errorf("%v %q", err, out)
	}
	if table, out := sample(Screen{}, Form{}); table.Flush() != nil || out.Len() != 0 {
		t.Errorf("a table without rows printed %q", out)
	}
}

// TestColors: words of closed sets only, and only where they are asked for.
func TestColors(t *testing.T) {
	env := map[string]string{}
	get := func(name string) string { return env[name] }
	if s := Look(&bytes.Buffer{}, 0, ColorAuto, get); s.Color || s.Width != 0 || s.Terminal {
		t.Errorf("%+v", s)
	}
	if s := Look(&bytes.Buffer{}, 70, ColorAlways, get); !s.Color || s.Width != 70 {
		t.Errorf("%+v", s)
	}
	table, out := sample(Screen{Width: 80, Color: true}, Form{})
	if err := errors.Join(table.Row("7", "-", "refused", "refused", "ab", ""), table.Flush()); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), Red.Paint("refused")) != 1 || !strings.Contains(out.String(), Bold.Paint("OUTCOME")) {
		t.Errorf("%q", out)
	}
}

// TestWrap: lines fit, words stay whole, and nothing is lost.
func TestWrap(t *testing.T) {
	id := strings.Repeat("ab", 32)
	text := "a sentence that is longer than a line, with " + id + " in it, and 日本語 too"
	for _, columns := range []int{1, 20, 40, 80} {
		lines := Wrap(text, columns)
		if strings.Join(lines, " ") != text {
			t.Errorf("%d columns: %q", columns, lines)
		}
		for _, line := range lines {
			if Width(line) > columns && strings.Contains(line, " ") {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
	for _, columns := range []int{0, 1000} {
		if lines := Wrap(text, columns); len(lines) != 1 || lines[0] != text {
			t.Errorf("%d columns: %q", columns, lines)
		}
	}
}

func TestShortIDs(t *testing.T) {
	for id, want := range map[string]string{strings.Repeat("ab", 32): "abababababababab", "hmac-0123456789abcdef": "hmac-0123456789abcdef",
		"hmac-0123456789abcdef01": "hmac-0123456789abcdef", "a name that is no id at all": "a name that is no id at all", "": ""} {
		if got := ShortID(id, 16); got != want {
			t.Errorf("%q: %q", id, got)
		}
	}
}
