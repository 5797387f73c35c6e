package term

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind selects how a column may be made narrower.
type Kind int

// The kinds of columns.
const (
	Text   Kind = iota // cut with an ellipsis
	Word               // a word of a closed set: whole, and in its colour
	ID                 // cut to fewer digits, which still name the thing
	Number             // whole, at the right
	Time               // whole, to the second; a wide table has fractions
)

// Column describes one column of a table.
type Column struct {
	Name  string
	Kind  Kind
	Rank  int  // of the columns that do not fit, those with the highest rank go first
	Min   int  // the least width of a text or an id
	Usual int  // the width to begin with in a table that is printed while its rows come
	Wide  bool // in wide tables only
}

// Form describes how cells are written.
type Form struct {
	Wide bool                // every column, in full, however long the line
	Time func(string) string // how a moment is shown; nil leaves it
}

const (
	gap      = 2   // between two columns
	idDigits = 16  // of a long id in a table that has space
	minText  = 8   // of a column that says nothing else
	minID    = 12  // likewise
	hold     = 256 // rows that are looked at before the widths are chosen
)

// Table prints rows as they come. The widths follow from the rows of the first flush, and grow later if
// necessary. No line is wider than the screen.
type Table struct {
	w       io.Writer
	screen  Screen
	form    Form
	columns []Column

	waiting [][]string
	natural []int // widths that the cells want
	shown   []int // indices of the columns that fit
	widths  []int // of those shown
	rows    int
	err     error
}

// NewTable makes an empty table.
func NewTable(w io.Writer, s Screen, f Form, columns ...Column) *Table {
	t := &Table{w: w, screen: s, form: f, columns: columns, natural: make([]int, len(columns))}
	for i, c := range columns {
		t.natural[i] = max(Width(c.Name), c.Usual)
	}
	return t
}

// Rows is the number of rows given.
func (t *Table) Rows() int { return t.rows }

// Row adds one row, which has a cell for each column.
func (t *Table) Row(cells ...string) error {
	if t.err != nil {
		return t.err
	}
	if len(cells) != len(t.columns) {
		t.err = fmt.Errorf("a row of %d cells in a table of %d columns", len(cells), len(t.columns))
		return t.err
	}
	t.rows++
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = t.cell(t.columns[i], cell)
	}
	if t.waiting = append(t.waiting, row); len(t.waiting) >= hold {
		return t.Flush()
	}
	return nil
}

// cell is a value as the table shows it when there is space.
func (t *Table) cell(c Column, value string) string {
	switch {
	case c.Kind == Time && t.form.Time != nil:
		return t.form.Time(value)
	case c.Kind == ID && !t.form.Wide:
		return ShortID(value, idDigits)
	}
	return value
}

// Flush prints the rows that wait, below the names of the columns when these were not printed yet.
func (t *Table) Flush() error {
	if t.err != nil || len(t.waiting) == 0 {
		return t.err
	}
	grown := t.shown == nil
	for _, row := range t.waiting {
		for i, cell := range row {
			if n := Width(cell); n > t.natural[i] {
				t.natural[i], grown = n, true
			}
		}
	}
	if grown {
		before := t.shown
		if t.fit(); !slices.Equal(before, t.shown) {
			t.line(t.names(), true)
		}
	}
	for _, row := range t.waiting {
		t.line(row, false)
	}
	t.waiting = t.waiting[:0]
	return t.err
}

func (t *Table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	return names
}

// fit chooses the columns and their widths: as many columns as fit when each is as narrow as it may be, then
// more width for the most important ones.
func (t *Table) fit() {
	t.shown = t.shown[:0:0]
	for i, c := range t.columns {
		if !c.Wide || t.form.Wide {
			t.shown = append(t.shown, i)
		}
	}
	most := t.screen.Width
	if t.form.Wide || most == 0 {
		most = 1 << 30
	}
	used := t.need()
	for used > most && len(t.shown) > 1 {
		t.drop()
		used = t.need()
	}
	byRank := slices.Clone(t.shown)
	slices.SortStableFunc(byRank, func(a, b int) int { return t.columns[a].Rank - t.columns[b].Rank })
	width := make([]int, len(t.columns))
	for _, i := range byRank {
		width[i] = min(t.least(i), most)
	}
	for _, i := range byRank {
		more := max(0, min(t.natural[i]-width[i], most-used))
		width[i] += more
		used += more
	}
	t.widths = t.widths[:0]
	for _, i := range t.shown {
		t.widths = append(t.widths, width[i])
	}
}

// need is the least width of the columns shown.
func (t *Table) need() int {
	n := gap * (len(t.shown) - 1)
	for _, i := range t.shown {
		n += t.least(i)
	}
	return n
}

// drop takes away the column with the highest rank, of equal ones the last.
func (t *Table) drop() {
	worst := 0
	for k, i := range t.shown {
		if t.columns[i].Rank >= t.columns[t.shown[worst]].Rank {
			worst = k
		}
	}
	t.shown = slices.Delete(t.shown, worst, worst+1)
}

// least is the width below which a column says too little.
func (t *Table) least(i int) int {
	c := t.columns[i]
	floor := c.Min
	switch {
	case t.form.Wide || t.screen.Width == 0:
		return t.natural[i]
	case c.Kind == ID:
		floor = max(floor, minID)
	case c.Kind != Text:
		return t.natural[i]
	case floor == 0:
		floor = minText
	}
	return min(t.natural[i], max(floor, Width(c.Name)))
}

// line prints one row, without spaces at its end.
func (t *Table) line(cells []string, names bool) {
	var b strings.Builder
	pad := 0
	for k, i := range t.shown {
		kind, cell := t.columns[i].Kind, fitted(t.columns[i].Kind, cells[i], t.widths[k], names)
		left, right := 0, t.widths[k]-Width(cell)
		if kind == Number {
			left, right = right, 0
		}
		if cell == "" {
			pad += t.widths[k] + gap
			continue
		}
		b.WriteString(strings.Repeat(" ", pad+left))
		b.WriteString(t.style(kind, cell, names).Paint(cell))
		pad = right + gap
	}
	if _, err := io.WriteString(t.w, b.String()+"\n"); err != nil {
		t.err = errors.Join(t.err, err)
	}
}

// fitted cuts a cell to a width.
func fitted(k Kind, cell string, width int, name bool) string {
	if k == ID && !name {
		return head(cell, width)
	}
	return Cut(cell, width)
}

func (t *Table) style(k Kind, cell string, name bool) Style {
	switch {
	case !t.screen.Color:
		return Plain
	case name:
		return Bold
	case k == Word:
		return WordStyle(cell)
	case cell == "-":
		return Dim
	}
	return Plain
}
