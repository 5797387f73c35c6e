package main

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// operator answers the first question: is the cluster well?
var operator = board{
	file:  "operator",
	title: "Recount: is it well?",
	help:  "Start here. Green numbers mean that the cluster takes records and every node agrees. Each panel says what to type.",
	rows: []row{
		{"Now", operatorNow},
		{"Nodes", operatorNodes},
		{"Submissions", operatorSubmissions},
		{"What will end", operatorEnds},
		{"Backups and canaries", operatorWatch},
	},
}

var operatorNow = []panel{
	{
		title: "Leaders (1 is right)",
		help: "Nodes that lead and take proposals. Without one, or with two, nothing is accepted. Type: `recount cluster status`. " +
			"Without a majority bring nodes back.",
		kind: number, unit: units.Number, width: 4,
		ask:   ask(`sum(flk_leader{J}) or vector(0)`, "leaders"),
		steps: []step{{color: red}, {1, green}, {2, red}},
	},
	{
		title: "Nodes that do not respond",
		help:  "Nodes that Prometheus cannot scrape. Type: `recount cluster status`. Read the log of the node, and start it again.",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`count(up{J} == 0) or vector(0)`, "away"),
		steps: warn(1, 2),
	},
	{
		title: "Alerts that fire",
		help:  "Alerts of Recount that fire now. Type: `recount doctor`, and read the page that the alert names (docs/monitoring.md).",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`count(`+firing+`) or vector(0)`, "alerts"),
		steps: bad(1),
	},
	{
		title: "Submissions without an outcome",
		help: "Share of submissions that got no outcome in the last five minutes. Over 5 % somebody is called. " +
			"Type: `recount cluster status`, then `curl https://NODE/readyz?verbose`.",
		kind: number, unit: units.PercentUnit, width: 4,
		ask:   ask(lost+" / clamp_min("+taken+", 0.001)", "lost"),
		steps: warn(0.01, 0.05),
	},
	{
		title: "Freezes in force",
		help:  "While submissions are frozen, new records are refused. Type: `recount freeze list`. It says who froze what, and why.",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`max(flk_freezes{J})`, "freezes"),
		steps: warn(1, 1000),
	},
	{
		title: "Forged records accepted",
		help: "Known-bad records that a canary got accepted in its last round. More than 0 is an incident. Type: `recount freeze`, " +
			"and follow docs/runbooks/verifier-bypass.md.",
		kind: number, unit: units.Number, width: 4,
		ask:   ask(`max(recount_canary_let_through)`, "accepted"),
		steps: bad(1),
	},
}

const (
	lost  = `sum(rate(flk_submissions_total{J,outcome=~"unavailable|error|unknown"}[5m]))`
	taken = `sum(rate(flk_submissions_total{J}[5m]))`
)

var operatorNodes = []panel{
	{
		title: "Which nodes respond",
		help:  "A red node gives no metrics: it is down, cut off, or refuses the token. Type: `recount cluster status`.",
		kind:  states, unit: units.Number, width: 8,
		ask:   ask(`up{J}`, "{{instance}}"),
		words: map[string]word{"0": {"away", red}, "1": {"up", green}},
	},
	{
		title: "Who leads",
		help: "One node leads at a time. Frequent changes mean slow disks or a bad network. Type: `recount cluster status`, " +
			"and `iostat -x 5` on the leader.",
		kind: states, unit: units.Number, width: 8,
		ask:   ask(`flk_leader{J}`, "{{instance}}"),
		words: map[string]word{"0": {"follows", green}, "1": {"leads", blue}},
	},
	{
		title: "Nodes that refuse clients or do not lead",
		help:  "Why a node does not serve. Type: `curl https://NODE/readyz?verbose`, which gives the reason, and `recount digest`.",
		kind:  states, unit: units.Number, width: 8, words: yes,
		ask: append(each(`max by (instance) (METRIC{J})`,
			"flk_quarantined", "{{instance}} contradicts the others", "flk_suspended", "{{instance}} in dispute",
			"flk_refused_by_members", "{{instance}} refused by members", "flk_removed", "{{instance}} removed",
			"flk_yielding", "{{instance}} does not lead"),
			query{`1 - flk_clock_ok{J}`, "{{instance}} wrong clock"},
			query{`clamp_max(flk_missing_secrets{J}, 1)`, "{{instance}} lacks a key"}),
	},
	{
		title: "Entries not folded yet",
		help: "How far each node is behind what is committed. Over 1,000 for long means a slow disk or processor. " +
			"Type: `recount cluster status`, and look at LAG.",
		unit: units.Short, width: 8,
		ask:   ask(`flk_fold_lag_entries{J}`, "{{instance}}"),
		steps: bad(1000),
	},
	{
		title: "Disk space before records are refused",
		help:  "Free space above the mark at which a node refuses submissions. Type: `df -h`, and `recount generation list`: old ones can go.",
		unit:  units.BytesIEC, width: 8, signed: true,
		ask:   ask(`flk_disk_free_bytes{J} - flk_disk_needed_bytes{J}`, "{{instance}}"),
		steps: low(1 << 30),
	},
	{
		title: "Versions that run",
		help:  "Nodes by build. Two builds for long mean an upgrade that was not finished. Type: `recount version`, and see docs/runbooks/upgrade.md.",
		kind:  stack, unit: units.Number, width: 8,
		ask: ask(`count by (version) (flk_build_info{J})`, "{{version}}"),
	},
}

var operatorSubmissions = []panel{
	{
		title: "Submissions a second, by outcome",
		help: "What clients get. Unavailable, error and unknown are no outcomes. Type: `recount audit --since 1h`, " +
			"or look at the dashboard of the intake.",
		kind: stack, unit: units.RequestsPerSecond, width: 12,
		ask: ask(`sum by (outcome) (rate(flk_submissions_total{J}[R]))`, "{{outcome}}"),
	},
	{
		title: "Time to an outcome",
		help:  "Half, and all but one in a hundred, of the submissions are answered within this time. Over 1 s type: `iostat -x 5` on the leader.",
		unit:  units.Seconds, width: 12,
		ask: []query{{p99(0.5, ""), "half"}, {p99(0.99, ""), "99 in 100"},
			{p99(0.99, "instance, "), "99 in 100, {{instance}}"}},
		steps: bad(1),
	},
}

// p99 is a quantile of the time to an outcome, by labels.
func p99(q float64, by string) string {
	return `histogram_quantile(` + strconv.FormatFloat(q, 'f', -1, 64) + `, sum by (` + by + `le) (rate(flk_submit_duration_seconds_bucket{J}[R])))`
}

var operatorEnds = []panel{
	{
		title: "Days until a certificate ends",
		help: "The first certificate to end, for clients and between nodes. At 0 nobody can connect. " +
			"Type: `recount-node certs create-node`, see docs/tls-mtls.md.",
		unit: units.Days, width: 8, signed: true,
		ask:   ask(`min by (certificate) (flk_tls_certificate_expiry_seconds{J}) / 86400`, "{{certificate}}"),
		steps: low(21),
	},
	{
		title: "Days until a token ends",
		help:  "The first token to end of each role, of those made for more than 14 days. Type: `recount token list`, and make the next one.",
		unit:  units.Days, width: 8, signed: true,
		ask:   ask(`min by (role) (flk_token_expiry_seconds{J} < Inf) / 86400`, "{{role}}"),
		steps: low(7),
	},
	{
		title: "Age of the oldest signing key",
		help:  "Keys older than 90 days should be rotated. Type: `recount key list`, which marks them, and see docs/keys.md.",
		unit:  units.Days, width: 8,
		ask:   ask(`max(flk_oldest_key_age_seconds{J}) / 86400`, "oldest"),
		steps: bad(90),
	},
}

var operatorWatch = []panel{
	{
		title: "Age of the newest backup",
		help:  "Time since the newest backup was begun. Over 26 hours type: `recount backup list TARGET`, and see docs/backup.md.",
		kind:  number, unit: units.Seconds, width: 6,
		ask:   ask(`time() - max(max_over_time(flk_backup_last_success_timestamp_seconds[7d]))`, "made"),
		steps: bad(26 * 3600),
	},
	{
		title: "Age of the newest verified backup",
		help: "A backup that nobody has opened is a hope. Over 26 hours type: " +
			"`recount-node backup verify TARGET --public-key backup.pub`.",
		kind: number, unit: units.Seconds, width: 6,
		ask:   ask(`time() - max(max_over_time(flk_backup_last_verified_timestamp_seconds[7d]))`, "verified"),
		steps: bad(26 * 3600),
	},
	{
		title: "Time since the last canary",
		help:  "Without canaries nobody sees a verifier that accepts forgeries. Over ten minutes type: `recount canary`.",
		kind:  number, unit: units.Seconds, width: 6,
		ask:   ask(`time() - max(recount_canary_last_run_timestamp_seconds)`, "canary"),
		steps: bad(600),
	},
	{
		title: "Time without a signed checkpoint",
		help: "For how long a node could not sign its newest event. Over a minute type: `recount cluster status`, " +
			"and see docs/runbooks/checkpoints.md.",
		kind: number, unit: units.Seconds, width: 6,
		ask:   ask(`max(flk_checkpoint_late_seconds{J})`, "late"),
		steps: bad(60),
	},
}
