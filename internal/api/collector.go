package api

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

var (
	descSubmissions = prometheus.NewDesc("flk_submissions_total",
		"Submissions by outcome; replayed, throttled, unavailable, unknown and error are outcomes of their own.",
		[]string{"outcome"}, nil)
	descChecks = prometheus.NewDesc("flk_checks_total",
		"Records that were checked and not submitted, by what a submission would have been answered.",
		[]string{"outcome"}, nil)
	descIngest     = prometheus.NewDesc("flk_ingest_total", "Submissions received, whatever their outcome.", nil, nil)
	descSignatures = prometheus.NewDesc("flk_signature_errors_total",
		"Submissions, and records that were only checked, whose signature no key verifies.", nil, nil)
	descThrottled = prometheus.NewDesc(ThrottledName, ThrottledHelp, nil, prometheus.Labels{"limit": "address"})
	descDedup     = prometheus.NewDesc("flk_dedup_hits_total", "Submissions answered with an earlier outcome.",
		nil, nil)

	aliasDedup    = prometheus.NewDesc("flk_dedup_hits", "Alias of flk_dedup_hits_total.", nil, nil)
	aliasAccepted = prometheus.NewDesc("flk_accepted", "Alias of flk_submissions_total with outcome accepted.",
		nil, nil)
	aliasEscalated = prometheus.NewDesc("flk_escalated", "Alias of flk_submissions_total with outcome escalated.",
		nil, nil)
	aliasSignatures = prometheus.NewDesc("flk_signature_errors", "Alias of flk_signature_errors_total.", nil, nil)
	aliasWAL        = prometheus.NewDesc("flk_wal_errors", "Failed writes of the event log.", nil, nil)
)

// Name and help of the counter of throttled submissions by limit. The handlers count those of the limit
// "address". A node adds those of its own limits, "node" and "key".
const (
	ThrottledName = "flk_throttled_total"
	ThrottledHelp = "Submissions and checks answered with 429 (or 503 when so set) because of a rate limit: of " +
		"the node, of an address or of a key."
)

// submissionCollector counts submissions. It is the only collector of these counters and of their untyped
// aliases, the names in the security overview. Both come from one reading. As a counter, a name without the
// suffix _total would not be well formed.
type submissionCollector struct {
	outcomes   map[string]*atomic.Uint64
	checks     map[string]*atomic.Uint64 // of records that were only checked
	signatures *atomic.Uint64
	throttled  *atomic.Uint64 // throttled by the limit of an address
	walErrors  func() uint64
}

func newSubmissionCollector(walErrors func() uint64) submissionCollector {
	t := submissionCollector{
		outcomes:   map[string]*atomic.Uint64{},
		checks:     map[string]*atomic.Uint64{},
		signatures: new(atomic.Uint64),
		throttled:  new(atomic.Uint64),
		walErrors:  walErrors,
	}
	for _, label := range outcomeLabels {
		t.outcomes[label], t.checks[label] = new(atomic.Uint64), new(atomic.Uint64)
	}
	return t
}

// Describe implements prometheus.Collector.
func (t submissionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descSubmissions, descChecks, descIngest, descSignatures, descThrottled, descDedup, aliasDedup,
		aliasAccepted, aliasEscalated, aliasSignatures, aliasWAL,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t submissionCollector) Collect(ch chan<- prometheus.Metric) {
	give := func(d *prometheus.Desc, kind prometheus.ValueType, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
	}
	seen, all := map[string]uint64{}, uint64(0)
	for _, label := range outcomeLabels {
		seen[label] = t.outcomes[label].Load()
		all += seen[label]
		give(descSubmissions, prometheus.CounterValue, seen[label], label)
		give(descChecks, prometheus.CounterValue, t.checks[label].Load(), label)
	}
	signatures := t.signatures.Load()
	give(descIngest, prometheus.CounterValue, all)
	give(descSignatures, prometheus.CounterValue, signatures)
	give(descThrottled, prometheus.CounterValue, t.throttled.Load())
	give(descDedup, prometheus.CounterValue, seen[labelReplayed])
	give(aliasDedup, prometheus.UntypedValue, seen[labelReplayed])
	give(aliasAccepted, prometheus.UntypedValue, seen[wire.OutcomeAccepted])
	give(aliasEscalated, prometheus.UntypedValue, seen[wire.OutcomeEscalated])
	give(aliasSignatures, prometheus.UntypedValue, signatures)
	give(aliasWAL, prometheus.UntypedValue, t.walErrors())
}
