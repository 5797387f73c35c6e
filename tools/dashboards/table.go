package main

import "strings"

// board is one dashboard.
type board struct {
	file, title, help string
	nodes             choice // whether the reader chooses nodes
	rows              []row
}

// choice says which nodes a dashboard shows.
type choice int

const (
	allNodes  choice = iota // nothing to choose
	someNodes               // all, or those that the reader chooses
	oneNode
)

type row struct {
	title  string
	panels []panel
}

// panel is one panel. help says what it shows and what to do about it.
type panel struct {
	title, help string
	kind        kind
	unit        string
	width       uint32 // of 24
	ask         []query
	steps       []step // colours from a value on; the first one has no value
	words       map[string]word
	signed      bool // values below zero are possible
}

// kind is the form of a panel.
type kind int

const (
	lines  kind = iota // a value over time, by series
	stack              // the same, one upon the other
	number             // the newest value, large
	states             // colours over time, by series
	heat               // buckets of a histogram over time
)

type query struct{ expr, legend string }

type step struct {
	from  float64
	color string
}

// word stands for a value.
type word struct{ text, color string }

const (
	green  = "green"
	orange = "orange"
	red    = "red"
	blue   = "blue"
)

// bad colours everything from a value on.
func bad(from float64) []step { return []step{{color: green}, {from, red}} }

// low colours everything below a value.
func low(below float64) []step { return []step{{color: red}, {below, green}} }

// warn colours in two steps.
func warn(from, worse float64) []step { return []step{{color: green}, {from, orange}, {worse, red}} }

// yes is for states in which 1 is bad.
var yes = map[string]word{"0": {"no", green}, "1": {"yes", red}}

// full writes out the short forms of an expression.
func full(expr string) string {
	const job, node = `job="$job"`, `job="$job",instance=~"$instance"`
	return strings.NewReplacer("{J}", "{"+job+"}", "{J,", "{"+job+",", "{N}", "{"+node+"}", "{N,", "{"+node+",",
		"[R]", "[$__rate_interval]").Replace(expr)
}

// ask is one question without a legend of its own.
func ask(expr, legend string) []query { return []query{{expr, legend}} }

// each asks the same of several metrics, each with its legend.
func each(form string, pairs ...string) (out []query) {
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, query{strings.ReplaceAll(form, "METRIC", pairs[i]), pairs[i+1]})
	}
	return out
}
