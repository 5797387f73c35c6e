package main

import "github.com/grafana/grafana-foundation-sdk/go/units"

// ingest shows what comes in, what happens to it and how long it takes.
var ingest = board{
	file:  "ingest",
	title: "Recount: intake",
	help:  "What agents send, what answers they get, and how long answers take.",
	nodes: someNodes,
	rows: []row{
		{"Answers", ingestAnswers},
		{"Time", ingestTime},
		{"Refused before the log", ingestRefused},
		{"Log", ingestLog},
	},
}

var ingestAnswers = []panel{
	{
		title: "Submissions a second, by outcome",
		help:  "Answers to submissions. Replayed are repeats of an answer. Type: `recount audit --since 1h` to see single records.",
		kind:  stack, unit: units.RequestsPerSecond, width: 12,
		ask: ask(`sum by (outcome) (rate(flk_submissions_total{N}[R]))`, "{{outcome}}"),
	},
	{
		title: "Submissions a second, by node",
		help:  "Every node takes submissions. If one gets none, look at the proxy in front of the nodes. Type: `recount cluster status`.",
		kind:  stack, unit: units.RequestsPerSecond, width: 12,
		ask: ask(`sum by (instance) (rate(flk_submissions_total{N}[R]))`, "{{instance}}"),
	},
	{
		title: "Share that gets no outcome",
		help:  "Unavailable, error and unknown, of all submissions. Over 5 % type: `curl https://NODE/readyz?verbose` for every node.",
		unit:  units.PercentUnit, width: 8,
		ask: ask(`sum(rate(flk_submissions_total{N,outcome=~"unavailable|error|unknown"}[R]))`+
			` / clamp_min(sum(rate(flk_submissions_total{N}[R])), 0.001)`, "no outcome"),
		steps: bad(0.05),
	},
	{
		title: "Share of repeats",
		help: "Records that were there before. A high share means agents that do not keep their answers. " +
			"Type: `recount shard list`, to see who sends.",
		unit: units.PercentUnit, width: 8,
		ask: ask(`sum(rate(flk_dedup_hits_total{N}[R])) / clamp_min(sum(rate(flk_ingest_total{N}[R])), 0.001)`, "repeats"),
	},
	{
		title: "Records only checked, by outcome",
		help:  "Records that somebody asked about without submitting them. Canaries are among them. Type: `recount check --help`.",
		kind:  stack, unit: units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (outcome) (rate(flk_checks_total{N}[R]))`, "{{outcome}}"),
	},
}

var ingestTime = []panel{
	{
		title: "Time to an outcome",
		help: "From the headers of a submission to its answer. It holds a commit on a majority of disks. " +
			"Over 1 s type: `iostat -x 5` on the leader.",
		unit: units.Seconds, width: 12,
		ask: []query{{quantile("0.5"), "half"}, {quantile("0.9"), "9 in 10"}, {quantile("0.99"), "99 in 100"}},
	},
	{
		title: "How answer times are spread",
		help:  "Each column is a moment, each row a time to an outcome. Two bands mean two kinds of clients, or one slow node. Type: `recount bench --help`.",
		kind:  heat, unit: units.Seconds, width: 12,
		ask: ask(`sum by (le) (increase(flk_submit_duration_seconds_bucket{N}[R]))`, "{{le}}"),
	},
	{
		title: "Requests a second that failed, by route",
		help:  "Answers of class 5xx. `error` is a fault of the node, `unavailable` says try again. Type: grep ERROR in the log of the node.",
		unit:  units.RequestsPerSecond, width: 12,
		ask: ask(`sum by (route) (rate(flk_http_requests_total{N,class="5xx"}[R])) or vector(0)`, "{{route}}"),
	},
	{
		title: "Time of the slowest hundredth, by route",
		help:  "All routes of the API. Long reads are slow by nature. Type: `recount cluster status`, if all routes are slow.",
		unit:  units.Seconds, width: 12,
		ask: ask(`histogram_quantile(0.99, sum by (route, le) (rate(flk_http_request_duration_seconds_bucket{N}[R]))) >= 0`, "{{route}}"),
	},
}

func quantile(q string) string {
	return `histogram_quantile(` + q + `, sum by (le) (rate(flk_submit_duration_seconds_bucket{N}[R])))`
}

var ingestRefused = []panel{
	{
		title: "Over a rate limit, by limit",
		help: "Submissions that a limit of the node, of an address or of a key refused. Type: `recount shard list`, " +
			"and see docs/rate-limits.md.",
		unit: units.RequestsPerSecond, width: 8,
		ask:   ask(`sum by (limit) (rate(flk_throttled_total{N}[R]))`, "{{limit}}"),
		steps: bad(1),
	},
	{
		title: "Refused and not kept",
		help: "Malformed records, and records refused by a freeze. Repeats of a refusal get the first answer. " +
			"Type: `recount freeze list`, and `recount explain` for the codes.",
		unit: units.RequestsPerSecond, width: 8,
		ask: each(`sum(rate(METRIC{N}[R]))`, "flk_structure_errors_total", "malformed", "flk_frozen_refusals_total", "frozen",
			"flk_refusals_repeated_total", "repeated refusal"),
	},
	{
		title: "Forged records a second",
		help: "Records with a bad signature, submitted or checked. Forgeries over the budget are answered and not logged. " +
			"Type: `recount audit --outcome refused --since 1h`.",
		unit: units.RequestsPerSecond, width: 8,
		ask: each(`sum(rate(METRIC{N}[R]))`, "flk_signature_errors_total", "forged", "flk_refusals_dropped_total", "not logged"),
	},
	{
		title: "Credentials refused, by reason",
		help:  "Requests without a token, with a wrong one, or with too weak a role. Type: `recount token list`, and see docs/roles.md.",
		unit:  units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (reason) (rate(flk_auth_refused_total{N}[R]))`, "{{reason}}"),
	},
	{
		title: "Live tails that are open",
		help:  "Readers that follow the submissions as they are committed. Type: `recount tail`, to be one of them.",
		unit:  units.Short, width: 8,
		ask: ask(`sum by (instance) (flk_live_tails{N})`, "{{instance}}"),
	},
	{
		title: "Live tails that ended, by reason",
		help:  "A slow reader is cut off and goes on where it was. Type: `recount tail --help`.",
		unit:  units.Short, width: 8,
		ask: ask(`sum by (end) (increase(flk_live_tails_ended_total{N}[R]))`, "{{end}}"),
	},
}

var ingestLog = []panel{
	{
		title: "Records a second that were folded, by outcome",
		help: "What the log holds, as every node folds it: the nodes should draw one line. " +
			"Type: `recount digest`, if they differ for long.",
		unit: units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (instance, outcome) (rate(flk_folded_total{N}[R]))`, "{{instance}} {{outcome}}"),
	},
	{
		title: "Writes to the disk a second",
		help:  "fsyncs of the event log. They fall when records come in packs. Type: `iostat -x 5`, if answers are slow.",
		unit:  units.WritesPerSecond, width: 8,
		ask: ask(`sum by (instance) (rate(flk_log_syncs_total{N}[R]))`, "{{instance}}"),
	},
	{
		title: "Bytes that wait for consensus",
		help:  "Records on their way to a majority. If it grows, the leader or the network is too slow. Type: `recount cluster status`.",
		unit:  units.BytesIEC, width: 8,
		ask: ask(`flk_proposal_queue_bytes{N}`, "{{instance}}"),
	},
}
