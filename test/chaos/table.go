package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// row counts the effects of one kind of fault so far.
type row struct {
	times  int
	heal   []time.Duration // until every node served again
	stall  []time.Duration // longest time without an answer to a submission
	reason string          // why it was left out
}

// table counts, and prints the end of the story.
type table struct {
	h          *history
	mu         sync.Mutex
	now        string
	rows       map[string]*row
	names      []string
	violations int
	events     uint64
}

func newTable(h *history) *table { return &table{h: h, rows: map[string]*row{}, now: "start"} }

func (t *table) row(name string) *row {
	if t.rows[name] == nil {
		t.rows[name] = &row{}
		t.names = append(t.names, name)
	}
	return t.rows[name]
}

func (t *table) skip(name string, reason error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.row(name).reason = reason.Error()
}

func (t *table) begin(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = name
	t.row(name).times++
}

func (t *table) end(name string, heal, stall time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.row(name)
	r.heal, r.stall = append(r.heal, heal), append(r.stall, stall)
	t.now = "between faults"
}

// report prints a line every few seconds.
func (t *table) report(ctx context.Context, say func(string, ...any)) {
	const every = 5 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		made, definite := t.h.made.Load(), t.h.definite.Load()
		t.mu.Lock()
		total := 0
		for _, r := range t.rows {
			total += r.times
		}
		say("%7d calls, %7d answered, %4.0f answers/s, %3d faults; now: %s",
			made, definite, float64(definite-before)/every.Seconds(), total, t.now)
		t.mu.Unlock()
		before = definite
	}
}

// print writes the whole table.
func (t *table) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.Sort(t.names)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tTIMES\tRECOVERY p50\tmax\tLONGEST SILENCE p50\tmax")
	total := 0
	for _, name := range t.names {
		r := t.rows[name]
		total += r.times
		if r.reason != "" {
			fmt.Fprintf(w, "%s\tleft out: %s\n", name, r.reason)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", name, r.times,
			quantile(r.heal, 0.5), quantile(r.heal, 1), quantile(r.stall, 0.5), quantile(r.stall, 1))
	}
	_ = w.Flush()
	fmt.Fprintf(out, "%d calls, %d answered, %d records, %d events, %d faults, %d violations\n",
		t.h.made.Load(), t.h.definite.Load(), t.h.ids.Load(), t.events, total, t.violations)
}

func quantile(all []time.Duration, q float64) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))].Round(10 * time.Millisecond).String()
}

// save writes every call, for whoever looks for the reason.
func (h *history) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, c := range h.all() {
		fmt.Fprintln(w, c)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
