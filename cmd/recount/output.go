package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/nano"
)

// The values of -o.
const (
	formatTable  = "table"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
	formatWide   = "wide" // a table with every column in full
)

func plain(s string) string {
	return visible(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '.'
		}
		return r
	}, s))
}

// visible is term.Visible.
func visible(s string) string { return term.Visible(s) }

// printJSON prints one value as JSON: indented for json, on one line for ndjson.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	if a.format == formatJSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

func decimal(n *nano.Nano) string {
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

func join(seqs []uint64) string {
	parts := make([]string, len(seqs))
	for i, s := range seqs {
		parts[i] = strconv.FormatUint(s, 10)
	}
	return strings.Join(parts, " ")
}
