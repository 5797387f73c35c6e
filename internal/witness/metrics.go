package witness

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// counts counts requests by their result.
type counts struct {
	mu sync.Mutex
	by map[string]uint64
}

func (c *counts) add(result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]uint64{}
	}
	c.by[result]++
}

func (c *counts) all() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// Metrics returns the metrics in the text exposition format.
func (w *Witness) Metrics() (string, error) {
	var b strings.Builder
	head := func(name, kind, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	head("flk_witness_requests_total", "counter", "Requests for a cosignature, by result.")
	by := w.counts.all()
	for _, result := range results {
		fmt.Fprintf(&b, "flk_witness_requests_total{result=%q} %d\n", result, by[result])
	}
	ledgers := w.state()
	head("flk_witness_size", "gauge", "Events of the newest checkpoint that was cosigned, by ledger.")
	for _, l := range ledgers {
		fmt.Fprintf(&b, "flk_witness_size{origin=%q} %d\n", l.checkpoint.Origin, l.checkpoint.Size)
	}
	head("flk_witness_cosigned_timestamp_seconds", "gauge", "When the newest checkpoint was cosigned, by ledger.")
	for _, l := range ledgers {
		fmt.Fprintf(&b, "flk_witness_cosigned_timestamp_seconds{origin=%q} %d\n", l.checkpoint.Origin, l.at.Unix())
	}
	list, err := List(w.Dir)
	if err != nil {
		return "", err
	}
	head("flk_witness_forks", "gauge", "Contradictory checkpoints that are kept, by ledger.")
	for _, s := range list {
		fmt.Fprintf(&b, "flk_witness_forks{origin=%q,proven=\"true\"} %d\n", s.Origin, s.Forks)
		fmt.Fprintf(&b, "flk_witness_forks{origin=%q,proven=\"false\"} %d\n", s.Origin, s.Unproven)
	}
	return b.String(), nil
}

// state returns what was seen of each ledger, by origin.
func (w *Witness) state() (list []seen) {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.ledgers))
	w.mu.Unlock()
	for _, l := range all {
		l.mu.Lock()
		if l.checkpoint.Size > 0 {
			list = append(list, l.seen)
		}
		l.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b seen) int { return cmp.Compare(a.checkpoint.Origin, b.checkpoint.Origin) })
	return list
}

// ServeMetrics answers a scrape.
func (w *Witness) ServeMetrics(rw http.ResponseWriter, _ *http.Request) {
	text, err := w.Metrics()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = rw.Write([]byte(text)) // the other side may have gone
}
