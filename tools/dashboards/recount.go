package main

import "github.com/grafana/grafana-foundation-sdk/go/units"

// recount shows how far a recount of history is and what it changes.
var recount = board{
	file:  "recount",
	title: "Recount: a recount of history",
	help:  "How far a generation is that was started, what it would change, and what the work costs live traffic.",
	nodes: someNodes,
	rows: []row{
		{"Generation", recountGeneration},
		{"Cost", recountCost},
	},
}

// pending are the nodes that have a generation newer than the active one.
const pending = ` and flk_recount_generation{N} > flk_generation{N}`

var recountGeneration = []panel{
	{
		title: "Active generation",
		help: "Its number, by node. All nodes switch at one event, so they differ for a moment only. " +
			"Type: `recount generation list`.",
		kind: states, unit: units.Number, width: 8,
		ask: ask(`flk_generation{N}`, "{{instance}}"),
	},
	{
		title: "Newest inactive generation",
		help: "One that is being built, or after an activation the one before, which a rollback activates again. " +
			"Type: `recount generation status --latest`.",
		kind: states, unit: units.Number, width: 8,
		ask: ask(`flk_recount_generation{N}`, "{{instance}}"),
	},
	{
		title: "Recounts that wait or have failed",
		help: "A recount waits while the disk is short of space. A failed one can be dropped. Type: " +
			"`recount generation status --latest`, which gives the reason, and `df -h`.",
		kind: states, unit: units.Number, width: 8, words: yes,
		ask: each(`METRIC{N}`, "flk_recount_paused", "{{instance}} waits", "flk_recount_failed", "{{instance}} failed"),
	},
	{
		title: "Events still to compare",
		help: "Events of the log that the new generation has not been compared on. At 0 on every node it can be activated. " +
			"Type: `recount generation diff --latest`.",
		unit: units.Short, width: 12,
		ask: ask(`(flk_applied_seq{N} - flk_recount_compared_seq{N}`+pending+`) or 0 * flk_applied_seq{N}`, "{{instance}}"),
	},
	{
		title: "Outcomes that change",
		help: "Outcomes that the newest inactive generation judges in another way, so far. All nodes must show the same. " +
			"Type: `recount generation diff --latest`, before you activate.",
		unit: units.Short, width: 12,
		ask: ask(`flk_recount_flips{N}`, "{{instance}}"),
	},
	{
		title: "Events folded a second",
		help: "How fast the recount goes. It steps back while submissions come in, on purpose. " +
			"Type: `recount generation status --latest`.",
		unit: units.CountsPerSecond, width: 12, signed: true,
		ask: ask(`deriv(flk_recount_folded_seq{N}[5m])`, "{{instance}}"),
	},
	{
		title: "Last event folded, and the end of the log",
		help:  "The two lines meet when a recount has caught up. Type: `recount generation status --latest --wait`.",
		unit:  units.Short, width: 12,
		ask: append(ask(`flk_recount_folded_seq{N}`, "{{instance}}, recount"),
			query{`max(flk_applied_seq{N})`, "end of the log"}),
	},
}

var recountCost = []panel{
	{
		title: "Time to an outcome meanwhile",
		help:  "A recount must not slow live traffic down. If it does, type: `recount generation drop N`, and start again at a quiet hour.",
		unit:  units.Seconds, width: 8,
		ask:   []query{{quantile("0.5"), "half"}, {quantile("0.99"), "99 in 100"}},
		steps: bad(1),
	},
	{
		title: "Room that generations take",
		help:  "Every generation is a whole fold of the log. Type: `recount generation list`, and drop what nobody needs.",
		unit:  units.BytesIEC, width: 8,
		ask: ask(`flk_store_bytes{N,store=~"generations|history"}`, "{{instance}} {{store}}"),
	},
	{
		title: "Disk space before records are refused",
		help:  "A recount waits before this gets short. Type: `df -h` on the directory of the node.",
		unit:  units.BytesIEC, width: 8, signed: true,
		ask:   ask(`flk_disk_free_bytes{N} - flk_disk_needed_bytes{N}`, "{{instance}}"),
		steps: low(1 << 30),
	},
	{
		title: "Processors in use",
		help: "1 is one processor. A recount takes what is left at most a third of one while records come in. " +
			"Type: `top` on the machine, if other programs need it.",
		unit: units.Number, width: 12,
		ask: ask(`rate(process_cpu_seconds_total{N}[R])`, "{{instance}}"),
	},
	{
		title: "Operations on generations and policies",
		help:  "Starts, activations, rollbacks and policies, with refused ones. Type: `recount operations`. It says who did what.",
		unit:  units.Short, width: 12,
		ask: ask(`sum by (route, class) (increase(flk_http_requests_total{N,method="POST",route=~"/v1/(generations|policies).*"}[1h]))`+
			` or vector(0)`, "{{route}} {{class}}"),
	},
}
