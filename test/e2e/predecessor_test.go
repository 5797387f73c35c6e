package e2e

import (
	"os"
	"path/filepath"
	"strings"
)

// old is a question of the predecessor's published dashboard and of its rules, without the bound that makes a rule fire. why says
// why it has no data here; docs/monitoring.md tells the reader.
type old struct{ where, expr, why string }

// predecessors are the questions of observability/grafana/dashboards/fractal-lba.json and of observability/prometheus/alerts.yml in
// https://github.com/rkhokhla/kakeya (MIT), written down from there.
var predecessors = []old{
	{"Total Ingests", `flk_ingest_total`, ""},
	{"Accepted", `flk_accepted`, ""},
	{"Escalated", `flk_escalated`, ""},
	{"Dedup Hits", `flk_dedup_hits`, ""},
	{"Ingest Rate", `rate(flk_ingest_total[1m]) * 60`, ""},
	{"Accept vs Escalate Rate", `rate(flk_accepted[1m]) * 60`, ""},
	{"Accept vs Escalate Rate", `rate(flk_escalated[1m]) * 60`, ""},
	{"Dedup Hit Ratio", `(flk_dedup_hits / flk_ingest_total) * 100`, ""},
	{"Error Rates", `rate(flk_signature_errors[1m]) * 60`, ""},
	{"Error Rates", `rate(flk_wal_errors[1m]) * 60`, ""},
	{"Escalation Rate", `(flk_escalated / flk_ingest_total) * 100`, ""},

	{"FLKErrorBudgetBurn", `(rate(flk_escalated[5m]) + rate(http_requests_total{code=~"5.."}[5m])) / rate(flk_ingest_total[5m])`,
		"labels that never match"},
	{"FLKHighLatency", `histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))`, ""},
	{"FLKSignatureFailuresSpike", `rate(flk_signature_err[5m])`, ""},
	{"FLKDedupAnomalyLow", `rate(flk_dedup_hits[10m]) / rate(flk_ingest_total[10m])`, ""},
	{"FLKDedupAnomalyHigh", `rate(flk_dedup_hits[10m]) / rate(flk_ingest_total[10m])`, ""},
	{"FLKBackendDown", `up{job="fractal-lba-backend"}`, "another job"},
	{"FLKHealthCheckFailing", `probe_success{job="fractal-lba-health"}`, "blackbox_exporter"},
	{"FLKHighServerErrors", `rate(http_requests_total{code=~"5.."}[5m])`, ""},
	{"FLKHighCPU", `rate(container_cpu_usage_seconds_total{pod=~"fractal-lba.*"}[5m])`, "cAdvisor"},
	{"FLKHighMemory", `container_memory_working_set_bytes{pod=~"fractal-lba.*"} / container_spec_memory_limit_bytes{pod=~"fractal-lba.*"}`,
		"cAdvisor"},
	{"FLKWALDiskPressure", `1 - (node_filesystem_avail_bytes{mountpoint="/data"} / node_filesystem_size_bytes{mountpoint="/data"})`,
		"node_exporter"},
	{"FLKRedisDown", `up{job="redis"}`, "no Redis"},
	{"FLKPostgresDown", `up{job="postgresql"}`, "no PostgreSQL"},
	{"FLKDedupStoreSlowness", `histogram_quantile(0.95, rate(dedup_operation_duration_seconds_bucket[5m]))`, "no dedup store"},
}

// predecessor asks what the predecessor's dashboard and rules ask, with the recording rules that are shipped for them.
func (d *dashed) predecessor() {
	d.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	must(d.T, err)
	for _, q := range predecessors {
		if q.why == "" {
			d.hasData(q.where, q.expr)
			continue
		}
		if d.within(0, q.expr) {
			d.Errorf("%s has data now: say so in docs/monitoring.md", q.where)
		}
		row := "\n| " + q.where + " | "
		if _, rest, ok := strings.Cut(string(text), row); !ok || !strings.Contains(rest[:strings.Index(rest, "\n")], q.why) {
			d.Errorf("docs/monitoring.md has no row that says why %s has no data: %s", q.where, q.why)
		}
	}
}
