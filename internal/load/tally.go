package load

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Answer is the result of sending one record.
type Answer struct {
	Outcome Outcome
	Error   string // of an answer that failed: a short code of a closed set, such as "throttled"
	Text    string // the whole error, for people
	Repeats int    // requests that were sent again
}

// Outcome is the result for one record.
type Outcome string

// The outcomes of a record. The first two are those of a record that the ledger has taken.
const (
	Accepted    Outcome = "accepted"
	Escalated   Outcome = "escalated"
	Refused     Outcome = "refused"     // the same record will be refused again
	Unavailable Outcome = "unavailable" // nothing was committed
	Unknown     Outcome = "unknown"     // sent, and no answer came
)

// Taken reports whether the record is in the ledger with an outcome.
func (o Outcome) Taken() bool { return o == Accepted || o == Escalated }

// The histograms hold microseconds up to longest, with three significant digits.
const (
	longest = time.Hour
	digits  = 3
)

// histogram counts times.
type histogram struct{ h *hdrhistogram.Histogram }

func newHistogram() histogram { return histogram{hdrhistogram.New(1, longest.Microseconds(), digits)} }

// add counts a time. One above longest counts as longest.
func (h histogram) add(d time.Duration) {
	us := min(max(d, 0), longest).Microseconds()
	if err := h.h.RecordValue(us); err != nil {
		panic(err) // out of the range that New was given: a mistake in this package
	}
}

// Quantiles describes how long something took, in milliseconds.
type Quantiles struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

func (h histogram) quantiles() Quantiles {
	at := func(percent float64) float64 { return float64(h.h.ValueAtQuantile(percent)) / 1e3 }
	return Quantiles{
		Count: uint64(h.h.TotalCount()), Mean: h.h.Mean() / 1e3,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.h.Max()) / 1e3,
	}
}

// tally collects answers. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	latency  histogram // of records that the ledger took
	failing  histogram // of the others
	waiting  histogram // from due to sent
	outcomes map[Outcome]uint64
	errors   map[string]uint64
	examples map[string]string // the first text of each error
	repeats  uint64
}

func newTally() *tally {
	return &tally{
		latency: newHistogram(), failing: newHistogram(), waiting: newHistogram(),
		outcomes: map[Outcome]uint64{}, errors: map[string]uint64{}, examples: map[string]string{},
	}
}

func (t *tally) add(a Answer, waited, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting.add(waited)
	t.outcomes[a.Outcome]++
	t.repeats += uint64(a.Repeats)
	if a.Outcome.Taken() {
		t.latency.add(took)
		return
	}
	t.failing.add(took)
	if t.errors[a.Error]++; t.errors[a.Error] == 1 {
		t.examples[a.Error] = a.Text
	}
}

// Progress describes a load test under way.
type Progress struct {
	Elapsed, Duration time.Duration
	Taken, Failed     uint64
	P99               float64 // of the latency so far, in milliseconds
}

// watch tells the progress each second.
func (r *run) watch(over <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			r.Progress(r.progress())
		}
	}
}

func (r *run) progress() Progress {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	return Progress{
		Elapsed: time.Since(r.start), Duration: r.Duration,
		Taken:  uint64(r.tally.latency.h.TotalCount()),
		Failed: uint64(r.tally.failing.h.TotalCount()),
		P99:    r.tally.latency.quantiles().P99,
	}
}

// Report is the result of a load test.
type Report struct {
	Loop        string  `json:"loop"`           // "open" or "closed"
	Rate        float64 `json:"rate,omitempty"` // that was asked for
	Senders     int     `json:"senders"`
	Shards      int     `json:"shards"` // that got a record
	Prefix      string  `json:"shard_prefix"`
	Seconds     float64 `json:"seconds"` // until the last answer
	Interrupted bool    `json:"interrupted"`

	Sent      uint64             `json:"sent"`
	Taken     uint64             `json:"taken"` // accepted or escalated
	Failed    uint64             `json:"failed"`
	Unsent    uint64             `json:"unsent"` // became due and were never sent
	Repeats   uint64             `json:"repeats"`
	PerSecond float64            `json:"per_second"` // records taken
	Outcomes  map[Outcome]uint64 `json:"outcomes"`
	Errors    map[string]uint64  `json:"errors"`
	Examples  map[string]string  `json:"examples"` // the first text of each error

	Latency  Quantiles `json:"latency_ms"`  // of records taken, from due to answered
	Failures Quantiles `json:"failures_ms"` // of the others
	Waiting  Quantiles `json:"waiting_ms"`  // of all, from due to sent
}

// OK reports whether every record that became due was sent and taken.
func (r *Report) OK() bool { return r.Failed == 0 && r.Unsent == 0 }

// report describes a test in which records became due for span.
func (r *run) report(span time.Duration, interrupted bool) *Report {
	t := r.tally
	took := max(time.Since(r.start), span)
	out := &Report{
		Loop: "closed", Rate: r.Rate, Senders: r.Senders, Shards: int(r.used.Load()), Prefix: r.Prefix,
		Seconds: took.Seconds(), Interrupted: interrupted, Repeats: t.repeats,
		Outcomes: maps.Clone(t.outcomes), Errors: maps.Clone(t.errors), Examples: maps.Clone(t.examples),
		Latency: t.latency.quantiles(), Failures: t.failing.quantiles(), Waiting: t.waiting.quantiles(),
	}
	out.Taken, out.Failed = out.Latency.Count, out.Failures.Count
	out.Sent = out.Taken + out.Failed
	out.PerSecond = float64(out.Taken) / out.Seconds
	if r.Rate > 0 {
		out.Loop = "open"
		out.Unsent = uint64(max(r.Planned(span)-r.next.Load(), 0)) // a record that a sender took is sent
	}
	return out
}
