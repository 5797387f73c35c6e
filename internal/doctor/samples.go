package doctor

import (
	"strconv"
	"strings"
)

// sample is one line of /metrics.
type sample struct {
	labels string // as they stand between the braces
	value  float64
}

// label returns the value of a label, "" if it has none. The labels of nodes have closed sets of values without
// quotes and commas.
func (s sample) label(name string) string {
	for pair := range strings.SplitSeq(s.labels, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok && k == name {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// samples are the lines of /metrics by name.
type samples map[string][]sample

// parseSamples reads the text format of Prometheus. It skips what it does not understand.
func parseSamples(text string) samples {
	out := samples{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(line[:at], "{")
		out[name] = append(out[name], sample{strings.TrimSuffix(labels, "}"), value})
	}
	return out
}

// get returns the value of a metric without labels.
func (s samples) get(name string) (value float64, ok bool) {
	all := s[name]
	if len(all) == 0 {
		return 0, false
	}
	return all[0].value, true
}

// sum returns the sum of all values of a metric, 0 if there are none.
func (s samples) sum(name string) (total float64) {
	for _, x := range s[name] {
		total += x.value
	}
	return total
}
