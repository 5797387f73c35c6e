package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/internal/load"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// showBench prints the report of a load test.
func (a benchCommands) showBench(r *load.Report) error {
	if a.format != formatTable {
		return a.printJSON(r)
	}
	loop := plural(r.Senders, "client") + " that wait for each answer"
	if r.Rate > 0 {
		loop = fmt.Sprintf("%g records a second, at most %d under way", r.Rate, r.Senders)
	}
	if err := a.printFields(r, "loop", loop, "seconds", fmt.Sprintf("%.1f", r.Seconds), "sent", r.Sent,
		"taken", fmt.Sprintf("%d, %.1f a second", r.Taken, r.PerSecond), "failed", r.Failed,
		"due and not sent", r.Unsent, "sent again", r.Repeats,
		"shards", fmt.Sprintf("%d, %s-NUMBER", r.Shards, r.Prefix)); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	t := a.table(text("MILLISECONDS", 1, 16), count("COUNT", 2), count("MEAN", 8), count("P50", 5), count("P90", 6),
		count("P99", 3), count("P99.9", 4), count("MAX", 7))
	for _, row := range []struct {
		name string
		q    load.Quantiles
	}{{"due to taken", r.Latency}, {"due to failed", r.Failures}, {"due to sent", r.Waiting}} {
		if q := row.q; q.Count > 0 && (r.Rate > 0 || row.name != "due to sent") {
			t.row(row.name, q.Count, millis(q.Mean), millis(q.P50), millis(q.P90), millis(q.P99), millis(q.P999),
				millis(q.Max))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return a.showBenchCounts(r)
}

// millis is a time in milliseconds, with more digits the smaller it is.
func millis(ms float64) string {
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.2f", ms)
}

// showBenchCounts prints the outcomes and the errors, the most frequent first.
func (a benchCommands) showBenchCounts(r *load.Report) error {
	if r.Sent == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	t := a.table(word("OUTCOME", 1), count("COUNT", 2))
	for _, o := range byCount(r.Outcomes) {
		t.row(o, r.Outcomes[o])
	}
	if err := t.flush(); err != nil || len(r.Errors) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	t = a.table(text("ERROR", 1, 20), count("COUNT", 2), text("THE FIRST ONE", 3, 20))
	for _, e := range byCount(r.Errors) {
		t.row(e, r.Errors[e], r.Examples[e])
	}
	return t.flush()
}

func byCount[K ~string](counts map[K]uint64) []K {
	return slices.SortedFunc(maps.Keys(counts), func(x, y K) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), strings.Compare(string(x), string(y)))
	})
}

// benchVerdict is the error of a test in which a record failed or was never sent, nil for others.
func benchVerdict(r *load.Report) error {
	if r.OK() {
		return nil
	}
	next := "The ledger does not take this rate: measure how much it takes with --clients, or give a lower --rate."
	var parts []string
	if r.Unsent > 0 {
		parts = append(parts, fmt.Sprintf("%d records were due and not sent", r.Unsent))
	}
	if r.Failed > 0 {
		most := byCount(r.Errors)[0]
		parts = append(parts, fmt.Sprintf("%d of %d records failed, most with %s", r.Failed, r.Sent, most))
		next = benchAdvice(most)
	}
	return &codedError{exitFailed, fmt.Errorf("%s", strings.Join(parts, "; ")), next}
}

// benchAdvice returns the next step after the most frequent error.
func benchAdvice(code string) string {
	switch {
	case code == string(wire.CodeThrottled):
		return "The nodes limit the rate: set token_rate, key_rate and address_rate for the test " +
			"(docs/rate-limits.md), or give a lower --rate."
	case slices.Contains(codeNames(), code):
		return fmt.Sprintf("\"recount explain %s\" says what this means and what to do.", code)
	}
	return "Check that the nodes run (\"recount cluster status\"), and give a longer --timeout or a lower load."
}

// benchProgress shows how far a load test is: a bar on a terminal, now and then a line elsewhere, both on stderr.
type benchProgress struct {
	a    *app
	all  *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
	said time.Time
	text chan string // the newest state, for the goroutine that draws
}

func newBenchProgress(a *app) *benchProgress {
	p := &benchProgress{a: a, said: time.Now(), text: make(chan string, 1)}
	if !a.quiet && term.IsTerminal(a.err) {
		shown := ""
		p.all = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(30))
		newest := func(decor.Statistics) string {
			select {
			case shown = <-p.text:
			default:
			}
			return " " + shown
		}
		p.bar = p.all.AddBar(100, mpb.BarRemoveOnComplete(), mpb.AppendDecorators(decor.Any(newest)))
	}
	return p
}

// update shows the newest state.
func (p *benchProgress) update(now load.Progress) {
	text := benchProgressText(now)
	if p.bar == nil {
		if at := time.Now(); at.Sub(p.said) >= sayEvery {
			p.said = at
			p.a.notef("%s", text)
		}
		return
	}
	select {
	case <-p.text:
	default:
	}
	p.text <- text
	p.bar.SetCurrent(int64(100 * min(now.Elapsed.Seconds()/now.Duration.Seconds(), 0.99)))
}

// benchProgressText describes a load test under way.
func benchProgressText(p load.Progress) string {
	left := "waits for the last answers"
	if p.Elapsed < p.Duration {
		left = (p.Duration - p.Elapsed).Round(time.Second).String() + " to go"
	}
	failed := ""
	if p.Failed > 0 {
		failed = fmt.Sprintf(", %d failed", p.Failed)
	}
	return fmt.Sprintf("%d taken, %.0f/s%s, p99 %s ms, %s", p.Taken, float64(p.Taken)/p.Elapsed.Seconds(), failed,
		millis(p.P99), left)
}

// end takes the bar away.
func (p *benchProgress) end() {
	if p.bar != nil {
		p.bar.SetTotal(-1, true)
		p.all.Wait()
	}
}
