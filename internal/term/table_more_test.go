package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestTablesAsText: whole tables, as people see them.
func TestTablesAsText(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for name, c := range map[string]struct {
		screen  Screen
		form    Form
		columns []Column
		rows    [][]string
		want    string
	}{
		"numbers stand at the right": {
			columns: []Column{{Name: "N", Kind: Number}, {Name: "TEXT"}},
			rows:    [][]string{{"1", "a"}, {"1000", "b"}},
			want:    "   N  TEXT\n   1  a\n1000  b\n",
		},
		"wide characters are two columns": {
			columns: []Column{{Name: "TEXT"}, {Name: "X"}},
			rows:    [][]string{{"日本", "1"}, {"abc", "2"}, {"✅", "3"}, {"e\u0301", "4"}},
			want:    "TEXT  X\n日本  1\nabc   2\n✅    3\ne\u0301     4\n",
		},
		"an empty cell leaves no blanks at the end": {
			columns: []Column{{Name: "A"}, {Name: "B"}, {Name: "C"}},
			rows:    [][]string{{"1", "2", ""}, {"1", "", ""}, {"", "", ""}, {"", "2", ""}, {"", "", "3"}},
			want:    "A  B  C\n1  2\n1\n\n   2\n      3\n",
		},
		"a text is cut to its least width, the better ones last": {
			screen:  Screen{Width: 24},
			columns: []Column{{Name: "FIRST", Rank: 1, Min: 6}, {Name: "SECOND", Rank: 2, Min: 6}},
			rows:    [][]string{{"twelve chars", "twelve chars"}},
			want:    "FIRST         SECOND\ntwelve chars  twelve ch…\n",
		},
		"of equal ranks the last goes first": {
			screen:  Screen{Width: 12},
			columns: []Column{{Name: "AAAA", Kind: Word}, {Name: "BBBB", Kind: Word}, {Name: "CCCC", Kind: Word}},
			rows:    [][]string{{"a", "b", "c"}},
			want:    "AAAA  BBBB\na     b\n",
		},
		"the last column stays, cut": {
			screen:  Screen{Width: 3},
			columns: []Column{{Name: "OUTCOME", Kind: Word}},
			rows:    [][]string{{"refused"}},
			want:    "OU…\nre…\n",
		},
		"an id keeps digits, and no ellipsis": {
			screen:  Screen{Width: 14},
			columns: []Column{{Name: "ID", Kind: ID}},
			rows:    [][]string{{id}, {"hmac-" + id[:16]}},
			want:    "ID\n01234567890123\nhmac-012345678\n"[:3] + "0123456789abcd\nhmac-012345678\n",
		},
		"a wide form has all, in full": {
			screen:  Screen{Width: 14},
			form:    Form{Wide: true},
			columns: []Column{{Name: "ID", Kind: ID}, {Name: "MORE", Wide: true}},
			rows:    [][]string{{id, "x"}},
			want:    "ID" + strings.Repeat(" ", 64) + "MORE\n" + id + "  x\n",
		},
		"moments as the form shows them": {
			form:    Form{Time: func(s string) string { return "at " + s }},
			columns: []Column{{Name: "WHEN", Kind: Time}, {Name: "TEXT"}},
			rows:    [][]string{{"7", "7"}},
			want:    "WHEN  TEXT\nat 7  7\n",
		},
		"a usual width from the beginning": {
			columns: []Column{{Name: "A", Usual: 5}, {Name: "B"}},
			rows:    [][]string{{"1", "2"}},
			want:    "A      B\n1      2\n",
		},
		"colours": {
			screen:  Screen{Width: 40, Color: true},
			columns: []Column{{Name: "STATE", Kind: Word}, {Name: "TEXT"}},
			rows:    [][]string{{"ok", "ok"}, {"odd", "-"}},
			want: "\x1b[1mSTATE\x1b[0m  \x1b[1mTEXT\x1b[0m\n\x1b[32mok\x1b[0m     ok\n" +
				"odd    \x1b[2m-\x1b[0m\n",
		},
	} {
		var out bytes.Buffer
		table := NewTable(&out, c.screen, c.form, c.columns...)
		for _, row := range c.rows {
			if err := table.Row(row...); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Flush(); err != nil || table.Rows() != len(c.rows) {
			t.Errorf("%s: %v, %d rows", name, err, table.Rows())
		}
		if got := out.String(); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
	}
}

// TestTableGrows: rows that come later may need more width. The names come again only when other columns are shown.
func TestTableGrows(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, Screen{Width: 20}, Form{}, Column{Name: "A", Kind: Word}, Column{Name: "B", Kind: Word, Rank: 1})
	for _, row := range [][]string{{"1", "2"}, {"longer", "2"}, {"1", "2"}, {strings.Repeat("x", 19), "2"}, {"1", "2"}} {
		if err := errors.Join(table.Row(row...), table.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	want := "A  B\n1  2\nlonger  2\n1       2\nA\n" + strings.Repeat("x", 19) + "\n1\n"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

// TestTableHolds: rows come out at the latest when as many wait as the table looks at, and not one by one.
func TestTableHolds(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, Screen{}, Form{}, Column{Name: "N", Kind: Number})
	for i := range hold - 1 {
		if err := table.Row(fmt.Sprint(i)); err != nil || out.Len() != 0 {
			t.Fatalf("row %d: %v, %d bytes", i, err, out.Len())
		}
	}
	if err := table.Row("last"); err != nil || strings.Count(out.String(), "\n") != hold+1 {
		t.Errorf("%v, %d lines", err, strings.Count(out.String(), "\n"))
	}
	if err := table.Flush(); err != nil || strings.Count(out.String(), "\n") != hold+1 {
		t.Errorf("a flush of nothing: %v, %d lines", err, strings.Count(out.String(), "\n"))
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, io.ErrShortWrite
	}
	f.left -= len(p)
	return len(p), nil
}

// TestTableOnAFullDisk: the first error stays, and nothing is printed behind it.
func TestTableOnAFullDisk(t *testing.T) {
	disk := &fullDisk{left: 6}
	table := NewTable(disk, Screen{}, Form{}, Column{Name: "NAME"})
	if err := table.Row("long enough"); err != nil {
		t.Fatal(err)
	}
	if err := table.Flush(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
	disk.left = 100
	if err := table.Row("x"); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a row behind an error: %v", err)
	}
	if err := table.Flush(); !errors.Is(err, io.ErrShortWrite) || disk.left != 100 {
		t.Errorf("%v, %d bytes", err, 100-disk.left)
	}
}
