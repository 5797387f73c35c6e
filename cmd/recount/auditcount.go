package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// mostCounts bounds what audit --count-by keeps in memory.
const mostCounts = 100_000

// counted has the members that rows can be counted by, each with the function that reads it.
var counted = map[string]func(*wire.AuditItem) string{
	"key":     func(i *wire.AuditItem) string { return i.KeyID },
	"policy":  func(i *wire.AuditItem) string { return i.Policy },
	"outcome": func(i *wire.AuditItem) string { return i.Outcome },
	"was":     func(i *wire.AuditItem) string { return i.Was.Outcome },
	"reason":  func(i *wire.AuditItem) string { return i.ReasonCode },
	"shard":   func(i *wire.AuditItem) string { return i.ShardID },
	"node":    func(i *wire.AuditItem) string { return i.Node },
	"address": func(i *wire.AuditItem) string { return i.Remote },
	"day":     func(i *wire.AuditItem) string { return i.LogTime[:min(len(i.LogTime), len("2026-01-02"))] },
}

func countables() []string { return slices.Sorted(maps.Keys(counted)) }

// auditCount is one line of audit --count-by.
type auditCount struct {
	By       map[string]string `json:"by"`
	Rows     uint64            `json:"rows"`
	FirstSeq uint64            `json:"first_seq"`
	LastSeq  uint64            `json:"last_seq"`

	values []string
}

// tally counts rows by some of their members.
type tally struct {
	by    []string
	lines map[string]*auditCount
	rows  uint64
}

func newTally(by []string) (*tally, error) {
	for i, name := range by {
		if counted[name] == nil || slices.Contains(by[:i], name) {
			return nil, usagef("--count-by %s: must be some of %s, each once", strings.Join(by, ","),
				strings.Join(countables(), ", "))
		}
	}
	return &tally{by: by, lines: map[string]*auditCount{}}, nil
}

func (t *tally) add(i *wire.AuditItem) error {
	values := make([]string, len(t.by))
	for k, name := range t.by {
		values[k] = counted[name](i)
	}
	key := strings.Join(values, "\x00")
	line := t.lines[key]
	if line == nil {
		if len(t.lines) == mostCounts {
			return usagef("--count-by %s: more than %d different values; give filters such as --since or "+
				"--shard, or count by fewer members",
				strings.Join(t.by, ","), mostCounts)
		}
		line = &auditCount{By: map[string]string{}, FirstSeq: i.Seq, values: values}
		for k, name := range t.by {
			line.By[name] = values[k]
		}
		t.lines[key] = line
	}
	line.Rows, line.FirstSeq, line.LastSeq = line.Rows+1, min(line.FirstSeq, i.Seq), max(line.LastSeq, i.Seq)
	t.rows++
	return nil
}

// sorted puts the largest counts first, days in their order.
func (t *tally) sorted() []*auditCount {
	return slices.SortedFunc(maps.Values(t.lines), func(a, b *auditCount) int {
		byValue := slices.Compare(a.values, b.values)
		if t.by[0] == "day" {
			return byValue
		}
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), byValue)
	})
}

// count reads all rows that match and prints how many there are of each kind.
func (a auditCommands) count(ctx context.Context, c *client.Client, f *auditFlags) error {
	t, err := newTally(f.countBy)
	if err != nil {
		return err
	}
	if f.Limit > 0 {
		return usagef("--count-by counts every row that matches: leave --limit out")
	}
	last, noted := &wire.AuditPage{}, time.Now()
	for page, err := range c.AuditPages(ctx, f.AuditQuery) {
		if err != nil {
			return err
		}
		for i := range page.Items {
			if err := t.add(&page.Items[i]); err != nil {
				return err
			}
		}
		if last = page; page.NextCursor != "" && time.Since(noted) > 2*time.Second {
			noted = time.Now()
			a.notef("%d rows counted", t.rows)
		}
	}
	if err := a.printTally(t); err != nil {
		return err
	}
	a.notef("%d rows counted, up to event %d, as generation %d answers", t.rows, last.AppliedSeq, last.Generation)
	a.noteUnconfirmed(ctx, c, f.Read)
	return nil
}

func (a auditCommands) printTally(t *tally) error {
	var head []any
	for i, name := range t.by {
		switch name {
		case "policy":
			head = append(head, hexID(strings.ToUpper(name), i+1))
		case "key":
			head = append(head, keyID(strings.ToUpper(name), i+1))
		case "outcome", "was":
			head = append(head, word(strings.ToUpper(name), i+1))
		default:
			head = append(head, text(strings.ToUpper(name), i+1, 10))
		}
	}
	head = append(head, count("ROWS", 1), count("FIRST SEQ", 20), count("LAST SEQ", 21))
	l := newList(a.app, func(out *table, c *auditCount) {
		cells := make([]any, 0, len(c.values)+3)
		for _, v := range c.values {
			cells = append(cells, dash(v))
		}
		out.row(append(cells, c.Rows, c.FirstSeq, c.LastSeq)...)
	}, head...).uncounted()
	for _, line := range t.sorted() {
		if err := l.add(line); err != nil {
			return err
		}
	}
	return l.end()
}
