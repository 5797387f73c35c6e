package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/recount-ledger/recount/internal/laps"
)

// lapNames are the rows of the table of an answer. The first one is what the node does not see.
var lapNames = [1 + laps.Laps]string{
	"outside of the handler",
	"body read",
	"decoded and checked",
	"waits for a pack to leave",
	"waits for the commit",
	"waits for the fold",
	"waits until its goroutine runs",
	"answer made",
}

// lapped is one answer: the time that the client waited, and its parts in the order of lapNames.
type lapped struct {
	took  time.Duration
	parts [len(lapNames)]time.Duration
}

// lappedOf reads the header of a response. The part outside of the handler is the rest of the time.
func lappedOf(took time.Duration, header []byte) (l lapped, err error) {
	texts := bytes.Split(header, []byte(","))
	if len(texts) != int(laps.Laps) {
		return l, fmt.Errorf("%s: %q", laps.Header, header)
	}
	l.took, l.parts[0] = took, took
	for i, text := range texts {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return l, fmt.Errorf("%s: %q", laps.Header, header)
		}
		l.parts[i+1] = time.Duration(n) * time.Microsecond
		l.parts[0] -= l.parts[i+1]
	}
	return l, nil
}

// Answers count for a quantile if they are near it. Their mean can be split into parts, a quantile cannot.
var lapBands = []struct {
	name     string
	from, to float64
}{{"p50", 0.45, 0.55}, {"p99", 0.985, 0.995}}

// meanOf returns the mean of the answers between two quantiles, which are sorted by time.
func meanOf(sorted []lapped, from, to float64) (m lapped) {
	band := sorted[int(from*float64(len(sorted))):int(to*float64(len(sorted)))]
	for _, l := range band {
		m.took += l.took
		for i, p := range l.parts {
			m.parts[i] += p
		}
	}
	n := time.Duration(max(1, len(band)))
	m.took /= n
	for i := range m.parts {
		m.parts[i] /= n
	}
	return m
}

// lapTable prints the parts of the answers of the leader and of the followers near each quantile, in milliseconds.
func lapTable(w io.Writer, leader, followers []lapped) {
	columns := make([]lapped, 0, 2*len(lapBands))
	fmt.Fprintf(w, "%-34s", "milliseconds of an answer")
	for i, answers := range [][]lapped{leader, followers} {
		slices.SortFunc(answers, func(a, b lapped) int { return int(a.took - b.took) })
		for _, band := range lapBands {
			fmt.Fprintf(w, "  %12s", [2]string{"leader", "follower"}[i]+" "+band.name)
			columns = append(columns, meanOf(answers, band.from, band.to))
		}
	}
	fmt.Fprintln(w)
	row := func(name string, of func(l lapped) time.Duration) {
		fmt.Fprintf(w, "%-34s", name)
		for _, c := range columns {
			fmt.Fprintf(w, "  %12.2f", of(c).Seconds()*1e3)
		}
		fmt.Fprintln(w)
	}
	for i, name := range lapNames {
		row(name, func(l lapped) time.Duration { return l.parts[i] })
	}
	row("sum: seen by the client", func(l lapped) time.Duration { return l.took })
}
