package api

import (
	"cmp"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

// Values of the outcome label besides the outcomes of the ledger. Every submission is counted once.
const (
	labelReplayed  = "replayed"  // an earlier outcome was repeated
	labelThrottled = "throttled" // over a rate limit
)

var outcomeLabels = []string{
	wire.OutcomeAccepted, wire.OutcomeEscalated, wire.OutcomeRefused, wire.OutcomeConflict,
	labelReplayed, labelThrottled, wire.LabelUnavailable, wire.LabelUnknown, wire.LabelError,
}

type metrics struct {
	submissionCollector
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	submit    prometheus.Histogram
	refused   *prometheus.CounterVec

	tails      prometheus.Gauge
	tailsEnded *prometheus.CounterVec

	mu    sync.RWMutex
	known map[requestLabels]requestMetrics
}

func histogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

func newMetrics(reg prometheus.Registerer, walErrors func() uint64) (*metrics, error) {
	m := &metrics{
		submissionCollector: newSubmissionCollector(walErrors),
		known:               map[requestLabels]requestMetrics{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flk_http_requests_total", Help: "HTTP requests by route template, method and status class.",
		}, []string{"route", "method", "class"}),
		durations: prometheus.NewHistogramVec(histogram("flk_http_request_duration_seconds",
			"Time to answer an HTTP request by route template."), []string{"route"}),
		submit: prometheus.NewHistogram(histogram("flk_submit_duration_seconds",
			"Time from a submission's headers to its outcome.")),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flk_auth_refused_total",
			Help: "Requests refused because of missing or invalid credentials, the wrong role, or too many failures.",
		}, []string{"reason"}),
		tails: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "flk_live_tails", Help: "Streams of GET /v1/audit/stream that are open.",
		}),
		tailsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flk_live_tails_ended_total",
			Help: "Streams of GET /v1/audit/stream that have ended, by the reason that the reader was told.",
		}, []string{"end"}),
	}
	for _, reason := range append(wire.StreamEnds(), tailLeft) {
		m.tailsEnded.WithLabelValues(reason)
	}
	for _, reason := range refusedLabels {
		m.refused.WithLabelValues(reason)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.submissionCollector, m.requests, m.durations, m.submit, m.refused,
		m.tails, m.tailsEnded} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// submission counts one submission. code is empty unless the response is a problem.
func (m *metrics) submission(label string, code wire.Code, took time.Duration) {
	m.outcomes[label].Add(1)
	if code == wire.CodeBadSignature {
		m.signatures.Add(1)
	}
	m.submit.Observe(took.Seconds())
}

// check counts a record that was only checked. It is not a submission, but a forgery that is found counts as a
// signature error: operators see there that canaries are refused, whichever way the canaries are sent.
func (m *metrics) check(label string, code wire.Code) {
	m.checks[label].Add(1)
	if code == wire.CodeBadSignature {
		m.signatures.Add(1)
	}
}

// tailLeft is the end of a live tail whose reader went away.
const tailLeft = "reader_left"

// tail counts a live tail while it runs, and by its end.
func (m *metrics) tail(run func() (end string)) {
	m.tails.Inc()
	defer m.tails.Dec()
	m.tailsEnded.WithLabelValues(cmp.Or(run(), tailLeft)).Inc()
}

// problemLabel returns the outcome label of a submission whose response is a problem.
func problemLabel(p *wire.Problem) string {
	switch {
	case p.Replayed:
		return labelReplayed
	case p.Code == wire.CodeThrottled:
		return labelThrottled
	}
	return p.OutcomeLabel()
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	r := m.of(requestLabels{route, methodLabel(method), statusClass(status)})
	r.count.Inc()
	r.took.Observe(took.Seconds())
}

// requestLabels are the labels of a request. All are from closed sets.
type requestLabels struct{ route, method, class string }

// requestMetrics are the metrics with the labels of a request.
type requestMetrics struct {
	count prometheus.Counter
	took  prometheus.Observer
}

// of returns the metrics of a request. They exist from the first such request on. A vector finds them more slowly,
// because it hashes the labels itself.
func (m *metrics) of(l requestLabels) requestMetrics {
	m.mu.RLock()
	r, ok := m.known[l]
	m.mu.RUnlock()
	if ok {
		return r
	}
	r = requestMetrics{
		m.requests.WithLabelValues(l.route, l.method, l.class),
		m.durations.WithLabelValues(l.route),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[l] = r
	return r
}

// methodLabel and statusClass keep the labels within closed sets.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return method
	}
	return "other"
}

func statusClass(status int) string {
	switch {
	case status >= 200 && status < 300:
		return "2xx"
	case status >= 300 && status < 400:
		return "3xx"
	case status >= 400 && status < 500:
		return "4xx"
	}
	return "5xx"
}
