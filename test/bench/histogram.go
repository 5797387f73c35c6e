package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// histogram counts observations by upper bound, in seconds, ascending. The last bound may be infinite.
type histogram struct {
	upper, counts []float64
}

// histogramOf reads a histogram of Prometheus without labels out of the samples of a node.
func histogramOf(metrics map[string]float64, name string) (h histogram) {
	for sample := range metrics {
		text, ok := strings.CutPrefix(sample, name+`_bucket{le="`)
		if !ok {
			continue
		}
		if upper, err := strconv.ParseFloat(strings.TrimSuffix(text, `"}`), 64); err == nil {
			h.upper = append(h.upper, upper)
		}
	}
	slices.Sort(h.upper)
	below := 0.0
	for _, upper := range h.upper {
		text := strconv.FormatFloat(upper, 'g', -1, 64)
		if math.IsInf(upper, 1) {
			text = "+Inf"
		}
		all := metrics[name+`_bucket{le="`+text+`"}`]
		h.counts, below = append(h.counts, all-below), all
	}
	return h
}

// minus returns what was observed since an earlier state of the same histogram.
func (h histogram) minus(before histogram) histogram {
	out := histogram{upper: h.upper, counts: slices.Clone(h.counts)}
	for i := range min(len(out.counts), len(before.counts)) {
		out.counts[i] -= before.counts[i]
	}
	return out
}

// plus adds the observations of another node.
func (h histogram) plus(other histogram) histogram {
	if len(h.counts) == 0 {
		return other
	}
	return h.minus(histogram{counts: negative(other.counts)})
}

func negative(counts []float64) []float64 {
	out := slices.Clone(counts)
	for i := range out {
		out[i] = -out[i]
	}
	return out
}

// sum returns the sum of the observations, as if each were in the middle of its bucket, or at the lower bound of an infinite one.
func (h histogram) sum() (all float64) {
	lower := 0.0
	for i, n := range h.counts {
		upper := h.upper[i]
		if math.IsInf(upper, 1) {
			upper = lower
		}
		all += n * (lower + upper) / 2
		lower = upper
	}
	return all
}

// quantile returns the value below which that part of the observations lies, between the bounds of its bucket, or 0
// without observations. Above the last finite bound it returns that bound.
func (h histogram) quantile(q float64) float64 {
	total := 0.0
	for _, n := range h.counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	below, lower := 0.0, 0.0
	for i, n := range h.counts {
		if below+n >= q*total && n > 0 {
			if math.IsInf(h.upper[i], 1) {
				return lower
			}
			return lower + (h.upper[i]-lower)*(q*total-below)/n
		}
		below += n
		if !math.IsInf(h.upper[i], 1) {
			lower = h.upper[i]
		}
	}
	return lower
}
