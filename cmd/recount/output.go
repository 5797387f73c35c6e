package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/recount-ledger/recount/wire"
)

// The values of -o.
const (
	formatTable  = "table"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
)

// table prints aligned columns. Control characters in cells, which may come from hostile records, become dots; what changes
// the direction of a text or has no width becomes visible.
type table struct {
	w   *tabwriter.Writer
	err error
}

func (a *app) table(head ...any) *table {
	t := &table{w: tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = plain(fmt.Sprint(c))
	}
	if _, err := io.WriteString(t.w, strings.TrimRight(strings.Join(line, "\t"), "\t")+"\n"); err != nil && t.err == nil {
		t.err = err
	}
}

func (t *table) flush() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}

func plain(s string) string {
	return visible(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '.'
		}
		return r
	}, s))
}

// visible writes characters that nobody sees, but that change how a line is read, as \u escapes. Line feeds and tabs stay.
func visible(s string) string {
	hidden := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// document prints one value as JSON: indented for json, on one line for ndjson.
func (a *app) document(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	if a.format == formatJSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// show prints one answer: as JSON, or as name and value pairs.
func (a *app) show(v any, pairs ...any) error {
	if a.format != formatTable {
		return a.document(v)
	}
	t := a.table()
	for i := 0; i+1 < len(pairs); i += 2 {
		t.row(pairs[i], pairs[i+1])
	}
	return t.flush()
}

// list prints items as they come: NDJSON at once, tables and JSON documents when complete.
type list[T any] struct {
	a     *app
	table *table
	row   func(*table, T)
	items []T
}

func newList[T any](a *app, row func(*table, T), head ...any) *list[T] {
	l := &list[T]{a: a, row: row, items: []T{}}
	if a.format == formatTable {
		l.table = a.table(head...)
	}
	return l
}

// cut ends a list that could not be finished. One document would look whole, so none is printed.
func (l *list[T]) cut() error {
	if l.a.format == formatJSON {
		return nil
	}
	return l.end()
}

func (l *list[T]) add(item T) error {
	switch l.a.format {
	case formatNDJSON:
		return l.a.document(item)
	case formatJSON:
		l.items = append(l.items, item)
		return nil
	}
	l.row(l.table, item)
	return l.table.err
}

func (l *list[T]) end() error {
	switch l.a.format {
	case formatNDJSON:
		return nil
	case formatJSON:
		return l.a.document(l.items)
	}
	return l.table.flush()
}

func nano(n *wire.Nano) string {
	if n == nil {
		return "-"
	}
	return n.String()
}

func number[T int64 | uint64](n *T) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func short(hash string) string {
	if len(hash) > 16 {
		return hash[:16]
	}
	return dash(hash)
}

func join(seqs []uint64) string {
	parts := make([]string, len(seqs))
	for i, s := range seqs {
		parts[i] = strconv.FormatUint(s, 10)
	}
	return strings.Join(parts, " ")
}
