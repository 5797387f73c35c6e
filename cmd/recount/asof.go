package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/when"
	"github.com/recount-ledger/recount/wire"
)

// asOfFlag is --as-of: the number of an event, a time or, where generations differ, "generation N".
type asOfFlag struct {
	text        string
	generations bool
}

func (f *asOfFlag) add(cmd *cobra.Command, generations bool) {
	f.generations = generations
	usage := "as it was answered then: after this seq, at this time (as for recount audit --since)"
	if generations {
		usage += ", or by \"generation N\""
	}
	cmd.Flags().StringVar(&f.text, "as-of", "", usage)
}

// parse sets what r asks for.
func (f *asOfFlag) parse(a *app, r *client.Read) error {
	text := strings.TrimSpace(f.text)
	if number, ok := strings.CutPrefix(text, "generation"); ok && f.generations {
		n, err := strconv.ParseUint(strings.TrimLeft(number, " :="), 10, 32)
		if err != nil || n == 0 {
			return usagef("--as-of %q: must name a generation, such as \"generation 1\"", f.text)
		}
		r.Generation = uint32(n)
		return nil
	}
	if seq, err := strconv.ParseUint(text, 10, 63); text == "" || err == nil && seq > 0 {
		r.AsOf = text
		return nil
	}
	t, err := a.moment("--as-of", text)
	if err != nil || text == "0" {
		forms := "the number of an event, "
		if f.generations {
			forms += "\"generation N\", "
		}
		return usagef("--as-of %q: must be %sor %s before now", f.text, forms, when.Forms)
	}
	r.AsOf = wire.Time(t)
	return nil
}

// asOfPairs is the field of an answer that is as of an event.
func asOfPairs(seq uint64) []any {
	if seq == 0 {
		return nil
	}
	return []any{"as of seq", seq}
}

// past reports whether an answer of another time than now is asked for.
func past(r client.Read) bool { return r != r.Now() }
