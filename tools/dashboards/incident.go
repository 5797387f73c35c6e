package main

import "github.com/grafana/grafana-foundation-sdk/go/units"

// incident is for the night in which somebody forges records, or nodes contradict each other.
var incident = board{
	file:  "incident",
	title: "Recount: incident",
	help: "Forgeries, canaries, freezes and contradictions. The runbooks are docs/runbooks/verifier-bypass.md, " +
		"docs/runbooks/key-compromise.md and docs/runbooks/checkpoints.md.",
	nodes: someNodes,
	rows: []row{
		{"Does the verifier verify?", incidentVerifier},
		{"Are forgeries stopped?", incidentStop},
		{"Do the nodes agree?", incidentAgree},
		{"Who did what", incidentActs},
	},
}

var incidentVerifier = []panel{
	{
		title: "Forged records accepted",
		help:  "More than 0: the verifier does not verify. Type: `recount freeze --reason \"canary accepted\"`, then follow the runbook.",
		kind:  number, unit: units.Number, width: 6,
		ask:   ask(`max(recount_canary_let_through)`, "accepted"),
		steps: bad(1),
	},
	{
		title: "Forged records that only a freeze stops",
		help: "More than 0: do not thaw before the verifier is fixed. Type: `recount incident bypass --help`, " +
			"and see docs/runbooks/verifier-bypass.md.",
		kind: number, unit: units.Number, width: 6,
		ask:   ask(`max(recount_canary_frozen)`, "frozen"),
		steps: bad(1),
	},
	{
		title: "Canaries without an answer",
		help:  "A node that does not answer canaries may accept forgeries unseen. Type: `recount canary`. It names the node.",
		kind:  number, unit: units.Number, width: 6,
		ask:   ask(`max(recount_canary_no_answer)`, "no answer"),
		steps: bad(1),
	},
	{
		title: "Time since the last canary",
		help:  "Over ten minutes nobody watches the verifier. Type: `recount canary`, and start the one that runs every minute.",
		kind:  number, unit: units.Seconds, width: 6,
		ask:   ask(`time() - max(recount_canary_last_run_timestamp_seconds)`, "canary"),
		steps: bad(600),
	},
	{
		title: "Forgeries found in 15 minutes, by node",
		help: "While canaries run every node must find some: a node with none accepts forgeries, or gets no canaries. " +
			"Type: `recount canary`.",
		unit: units.Short, width: 12,
		ask: ask(`sum by (instance) (increase(flk_signature_errors_total{N}[15m]))`, "{{instance}}"),
	},
	{
		title: "Outcomes that the recount changes",
		help: "What the newest inactive generation judges in another way. Type: `recount generation diff --latest`, " +
			"and compare it with what was forged.",
		unit: units.Short, width: 12,
		ask: ask(`flk_recount_flips{N}`, "{{instance}}"),
	},
}

var incidentStop = []panel{
	{
		title: "Freezes in force",
		help:  "Frozen shards, keys, or everything. Type: `recount freeze list`. `recount thaw` ends a freeze.",
		unit:  units.Number, width: 8,
		ask: ask(`max by (instance) (flk_freezes{N})`, "{{instance}}"),
	},
	{
		title: "Refused by a freeze",
		help:  "Submissions that a freeze refuses. Agents send them again later. Type: `recount freeze list`.",
		unit:  units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (instance) (rate(flk_frozen_refusals_total{N}[R]))`, "{{instance}}"),
	},
	{
		title: "Accepted, refused and in conflict",
		help:  "Watch refused rise and accepted go on when the fix is active. Type: `recount audit --outcome refused --since 1h`.",
		unit:  units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (outcome) (rate(flk_submissions_total{N,outcome=~"accepted|refused|conflict|escalated"}[R]))`, "{{outcome}}"),
	},
	{
		title: "Forgeries that were not logged",
		help: "Over the budget forgeries are answered and counted only. Type: `recount audit --outcome refused --since 1h`. " +
			"`recount event SEQ` shows the address of one.",
		unit: units.RequestsPerSecond, width: 8,
		ask:   ask(`sum by (instance) (rate(flk_refusals_dropped_total{N}[R]))`, "{{instance}}"),
		steps: bad(1),
	},
	{
		title: "Requests with bad credentials",
		help:  "Somebody tries tokens, or a token has ended. Type: `recount token list`, and look for the address in the log of the node.",
		unit:  units.RequestsPerSecond, width: 8,
		ask: ask(`sum by (reason) (rate(flk_auth_refused_total{N}[R]))`, "{{reason}}"),
	},
	{
		title: "Signing keys",
		help:  "Keys that each node holds, and keys whose secret it lacks. Type: `recount key list`, and see docs/keys.md.",
		unit:  units.Number, width: 8,
		ask: each(`METRIC{N}`, "flk_keys", "{{instance}} has", "flk_missing_secrets", "{{instance}} lacks"),
	},
}

var incidentAgree = []panel{
	{
		title: "Nodes in contradiction",
		help: "A node that contradicts the others answers no client. Type: `recount digest`, and read the file quarantine in " +
			"its directory.",
		kind: states, unit: units.Number, width: 12, words: yes,
		ask: each(`METRIC{N}`, "flk_quarantined", "{{instance}} contradicts the others", "flk_suspended", "{{instance}} in dispute",
			"flk_checkpoint_contradiction", "{{instance}} contradicts its checkpoint"),
	},
	{
		title: "False facts and damaged stores",
		help: "Records that another node forwarded with false facts, and folded states that could not be read. " +
			"Type: grep 'signature facts do not hold' in the log of the node.",
		unit: units.Short, width: 12,
		ask: each(`METRIC{N}`, "flk_false_facts_total", "{{instance}} false facts", "flk_damaged_stores_total",
			"{{instance}} damaged"),
	},
	{
		title: "Events that are signed in a checkpoint",
		help:  "Where the newest checkpoint of each node stands. Type: `recount cluster status`, if one stands still.",
		unit:  units.Short, width: 8,
		ask: append(ask(`flk_checkpoint_size{N}`, "{{instance}}"), query{`max(flk_applied_seq{N})`, "end of the log"}),
	},
	{
		title: "Time without a checkpoint or a cosignature",
		help:  "A checkpoint needs a majority, a cosignature the witnesses. Type: `recount witness list`, and see docs/runbooks/checkpoints.md.",
		unit:  units.Seconds, width: 8,
		ask: each(`METRIC{N}`, "flk_checkpoint_late_seconds", "{{instance}} checkpoint", "flk_cosigned_late_seconds",
			"{{instance}} cosignature"),
		steps: bad(60),
	},
	{
		title: "Answers of witnesses",
		help:  "Refused: a witness has seen another ledger under this name. Type: `recount digest`, change no key, and keep the witness.",
		unit:  units.Short, width: 8,
		ask: ask(`sum by (result) (increase(flk_cosignature_requests_total{N}[R]))`, "{{result}}"),
	},
}

var incidentActs = []panel{
	{
		title: "Operations in an hour, by route",
		help:  "Freezes, keys, tokens, policies, members: what operators did. Type: `recount operations`. It says who, when and why.",
		unit:  units.Short, width: 12,
		ask: ask(`sum by (route, class) (increase(flk_http_requests_total{N,method="POST",`+
			`route=~"/v1/(freezes|thaw|keys|tokens|policies|generations|approvals|cluster).*"}[1h])) or vector(0)`, "{{route}} {{class}}"),
	},
	{
		title: "Alerts that fire",
		help:  "When each alert began and ended. Type: `recount doctor`, and read the page that the alert names.",
		kind:  stack, unit: units.Number, width: 12,
		ask: ask(`count by (alertname) (`+firing+`) or vector(0)`, "{{alertname}}"),
	},
}
