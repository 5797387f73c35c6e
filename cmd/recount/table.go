package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/recount-ledger/recount/internal/term"
)

// column describes a column of a table. A text alone is the name of a column of texts, the less important the
// later it comes.
type column = term.Column

// word is a column of words of a closed set, which have their colours.
func word(name string, rank int) column { return column{Name: name, Kind: term.Word, Rank: rank} }

// count is a column of numbers.
func count(name string, rank int) column { return column{Name: name, Kind: term.Number, Rank: rank} }

// text is a column that may be cut to a width.
func text(name string, rank, least int) column { return column{Name: name, Rank: rank, Min: least} }

// hexID is a column of ids in hex. What is left of a cut one can be given where the id is asked for.
func hexID(name string, rank int) column { return column{Name: name, Kind: term.ID, Rank: rank} }

// keyID is a column of key ids, such as hmac-0123456789abcdef.
func keyID(name string, rank int) column {
	return column{Name: name, Kind: term.ID, Rank: rank, Min: len("hmac-01234567")}
}

// moment is a column of times.
func moment(name string, rank int) column { return column{Name: name, Kind: term.Time, Rank: rank} }

// extra puts a column into wide tables only.
func extra(c column) column { c.Wide = true; return c }

// usual is the width that a column begins with in a table whose rows come one by one.
func usual(c column, width int) column { c.Usual = width; return c }

// table prints rows below the names of their columns. Control characters in cells, which may come from hostile
// records, become dots. Characters that change the direction of a text or have no width become visible.
type table struct {
	*term.Table
	err error
}

func (a *app) table(head ...any) *table {
	columns := make([]column, len(head))
	for i, h := range head {
		if c, ok := h.(column); ok {
			columns[i] = c
		} else {
			columns[i] = column{Name: fmt.Sprint(h), Rank: i + 1}
		}
	}
	return &table{Table: term.NewTable(a.out, a.screen(), term.Form{Wide: a.wide, Time: a.tableTime}, columns...)}
}

func (t *table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = plain(fmt.Sprint(c))
	}
	if err := t.Row(line...); err != nil && t.err == nil {
		t.err = err
	}
}

func (t *table) flush() error {
	if t.err != nil {
		return t.err
	}
	return t.Flush()
}

// leastText is the width at which texts are broken on a screen that has less room.
const leastText = 20

// printFields prints one answer: as JSON, or as name and value pairs.
func (a *app) printFields(v any, pairs ...any) error {
	if a.format != formatTable {
		return a.printJSON(v)
	}
	most := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		most = max(most, term.Width(plain(fmt.Sprint(pairs[i]))))
	}
	var b strings.Builder
	most += 2
	room := 0
	if w := a.screen().Width; w > 0 && !a.wide {
		room = max(w-most, leastText)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, value := plain(fmt.Sprint(pairs[i])), plain(a.fullTime(fmt.Sprint(pairs[i+1])))
		for _, line := range term.Wrap(value, room) {
			fmt.Fprintln(&b, strings.TrimRight(name+strings.Repeat(" ", most-term.Width(name))+line, " "))
			name = ""
		}
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// list prints items as they come: NDJSON at once, tables when some are there, JSON documents when complete.
type list[T any] struct {
	a     *app
	table *table
	row   func(*table, T)
	items []T
	count int
	none  func() string // why the list may be empty, and what to do then; nil says nothing
	fixed bool          // the number of rows is known before, so nobody is told
}

func newList[T any](a *app, row func(*table, T), head ...any) *list[T] {
	l := &list[T]{a: a, row: row, items: []T{}}
	if a.format == formatTable {
		l.table = a.table(head...)
	}
	return l
}

// because sets the reason that an empty list prints.
func (l *list[T]) because(reason string) *list[T] {
	l.none = func() string { return reason }
	return l
}

// uncounted is for a list whose rows are not found but given: one for each endpoint or file.
func (l *list[T]) uncounted() *list[T] {
	l.fixed = true
	return l
}

// cut ends a list that could not be finished. One document would look whole, so none is printed.
func (l *list[T]) cut() error {
	if l.table != nil {
		return l.table.flush()
	}
	return nil
}

func (l *list[T]) add(item T) error {
	l.count++
	switch l.a.format {
	case formatNDJSON:
		return l.a.printJSON(item)
	case formatJSON:
		l.items = append(l.items, item)
		return nil
	}
	l.row(l.table, item)
	return l.table.err
}

// flush prints the rows of a table that wait for others.
func (l *list[T]) flush() error {
	if l.table == nil {
		return nil
	}
	return l.table.flush()
}

func (l *list[T]) end() error {
	switch l.a.format {
	case formatNDJSON:
	case formatJSON:
		if err := l.a.printJSON(l.items); err != nil {
			return err
		}
	default:
		if err := l.table.flush(); err != nil {
			return err
		}
	}
	l.noteCount()
	return nil
}

// noteCount prints the number of rows on stderr. Programs count for themselves, but an empty list always gets a note.
func (l *list[T]) noteCount() {
	switch {
	case l.fixed:
	case l.count == 0 && l.none != nil:
		l.a.notef("0 rows: %s", l.none())
	case l.count == 0:
		l.a.notef("0 rows")
	case l.table != nil:
		l.a.notef("%s", rows(l.table.Rows()))
	}
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}
