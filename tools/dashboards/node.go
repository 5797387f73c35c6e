package main

import "github.com/grafana/grafana-foundation-sdk/go/units"

// node is about one machine.
var node = board{
	file:  "node",
	title: "Recount: one node",
	help:  "Processor, memory, disk, log, peers and clock of one node.",
	nodes: oneNode,
	rows: []row{
		{"State", nodeState},
		{"Machine", nodeMachine},
		{"Log and disk", nodeLog},
		{"Peers", nodePeers},
		{"Lines and files", nodeFiles},
	},
}

var nodeState = []panel{
	{
		title: "Responds",
		help:  "Whether Prometheus reaches it. Type: `recount cluster status`, and `systemctl status recount-node` on the machine.",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`up{N}`, "up"),
		words: map[string]word{"0": {"no", red}, "1": {"yes", green}},
	},
	{
		title: "Role",
		help:  "Any node may lead. Type: `recount cluster leader --help`, to hand over before maintenance.",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`flk_leader{N}`, "leads"),
		words: map[string]word{"0": {"follows", green}, "1": {"leads", blue}},
	},
	{
		title: "Runs since",
		help:  "Time since the process started. Short and shorter means a crash loop. Type: `journalctl -u recount-node -p warning`.",
		kind:  number, unit: units.Seconds, width: 4,
		ask:   ask(`time() - process_start_time_seconds{N}`, "runs"),
		steps: []step{{color: orange}, {600, green}},
	},
	{
		title: "Starts in an hour",
		help:  "More than three is an alert. Type: `journalctl -u recount-node -p warning`. Exit code 70 names a store that failed.",
		kind:  number, unit: units.Number, width: 4,
		ask:   ask(`changes(process_start_time_seconds{N}[1h])`, "starts"),
		steps: warn(1, 4),
	},
	{
		title: "Active generation",
		help:  "It has to be the same on every node. Type: `recount generation list`.",
		kind:  number, unit: units.Number, width: 4,
		ask: ask(`flk_generation{N}`, "generation"),
	},
	{
		title: "Cluster version",
		help:  "Formats that the log may hold, and the newest that this build knows. Type: `recount cluster version --help`.",
		kind:  number, unit: units.Number, width: 4,
		ask: each(`METRIC{N}`, "flk_cluster_version", "in use", "flk_cluster_version_known", "known"),
	},
}

var nodeMachine = []panel{
	{
		title: "Processors in use",
		help:  "1 is one processor. If it stays at the number of processors, the node is the bottleneck. Type: `top` on the machine.",
		unit:  units.Number, width: 8,
		ask: ask(`rate(process_cpu_seconds_total{N}[R])`, "processors"),
	},
	{
		title: "Memory",
		help:  "Of the process, and of that what Go holds. If it grows without end, see docs/sizing.md. Type: `free -m` on the machine.",
		unit:  units.BytesIEC, width: 8,
		ask: each(`METRIC{N}`, "process_resident_memory_bytes", "process", "go_memstats_heap_inuse_bytes", "heap",
			"go_memstats_sys_bytes", "asked of the system"),
	},
	{
		title: "Open files and connections",
		help:  "Near the limit the node takes no more clients. Raise LimitNOFILE in the unit. Type: `systemctl cat recount-node`.",
		unit:  units.Short, width: 8,
		ask: each(`METRIC{N}`, "process_open_fds", "open", "process_max_fds", "limit", "go_goroutines", "goroutines"),
	},
}

var nodeLog = []panel{
	{
		title: "Free disk space, and what is needed",
		help:  "Below the second line the node refuses submissions. Type: `df -h` and `du -sh *` in the directory of the node.",
		unit:  units.BytesIEC, width: 8,
		ask: each(`METRIC{N}`, "flk_disk_free_bytes", "free", "flk_disk_needed_bytes", "needed",
			"flk_ballast_missing_bytes", "reserve that is missing"),
	},
	{
		title: "Size of the stores",
		help:  "The log, the control state, generations and what activations changed. Type: `recount generation list`: old ones can go.",
		kind:  stack, unit: units.BytesIEC, width: 8,
		ask: ask(`flk_store_bytes{N}`, "{{store}}"),
	},
	{
		title: "Growth of the log a day",
		help:  "At the pace of the last hour. Compare it with the free space. Type: `df -h`, and see docs/sizing.md.",
		unit:  units.BytesIEC, width: 8, signed: true,
		ask: ask(`deriv(flk_log_bytes{N}[1h]) * 86400`, "a day"),
	},
	{
		title: "Entries not folded yet",
		help:  "A node that was restarted catches up by itself. If it grows, the disk is too slow. Type: `recount cluster status`.",
		unit:  units.Short, width: 8,
		ask:   ask(`flk_fold_lag_entries{N}`, "behind"),
		steps: bad(1000),
	},
	{
		title: "Appends and fsyncs a second",
		help:  "A log that is written takes one fsync for many records. Type: `iostat -x 5`, if answers are slow.",
		unit:  units.WritesPerSecond, width: 8,
		ask: each(`rate(METRIC{N}[R])`, "flk_log_syncs_total", "fsyncs", "flk_log_appends_total", "appends", "flk_packs_total",
			"packs sent"),
	},
	{
		title: "Faults of the disk",
		help: "Writes that failed end the node. Damaged states are folded again. Type: `dmesg | tail` and `smartctl -a` " +
			"on the disk.",
		unit: units.Short, width: 8,
		ask:   each(`METRIC{N}`, "flk_wal_errors", "failed writes", "flk_damaged_stores_total", "damaged states"),
		steps: bad(1),
	},
	{
		title: "Bytes examined for damage a second",
		help:  "The node reads its log again in the background. Type: `recount doctor`, if whole examinations stop.",
		unit:  units.BytesPerSecondSI, width: 12,
		ask: ask(`rate(flk_log_scrubbed_bytes_total{N}[R])`, "examined"),
	},
	{
		title: "Copy of the log to a node that joins",
		help: "A joining node copies the log of a member: bytes of the copy, bytes that are here, and bytes sent to others. " +
			"Type: `recount cluster status`.",
		unit: units.BytesIEC, width: 12,
		ask: each(`METRIC{N}`, "flk_seed_bytes", "copy", "flk_seed_present_bytes", "here", "flk_seed_sent_bytes_total",
			"sent to others"),
	},
}

var nodePeers = []panel{
	{
		title: "Clock, ahead of the majority",
		help:  "Far from 0 the node takes no submissions. Type: `chronyc tracking`, or `timedatectl`, on the machine.",
		unit:  units.Seconds, width: 8, signed: true,
		ask: ask(`flk_clock_offset_seconds{N}`, "ahead"),
	},
	{
		title: "Trouble between nodes",
		help: "Refusals of other nodes, heartbeats held back because of the disk, and questions dropped. " +
			"Type: `curl https://NODE/readyz?verbose`.",
		unit: units.Short, width: 8,
		ask: each(`increase(METRIC{N}[R])`, "flk_peer_refusals_total", "refused others",
			"flk_raft_heartbeats_held_total", "heartbeats held", "flk_doubts_dropped_total", "questions dropped",
			"flk_raft_commit_clamped_total", "commits clamped"),
	},
	{
		title: "Reads that ask the majority",
		help:  "Linearizable reads a second, and rounds that served them. Type: `recount get --local`, for reads that need no majority.",
		unit:  units.RequestsPerSecond, width: 8,
		ask: each(`rate(METRIC{N}[R])`, "flk_linearizable_reads_total", "reads", "flk_read_rounds_total", "rounds"),
	},
	{
		title: "Requests a second, by class",
		help:  "5xx are faults or say try again, 4xx are faults of clients. Type: grep WARN in the log of the node.",
		kind:  stack, unit: units.RequestsPerSecond, width: 12,
		ask: ask(`sum by (class) (rate(flk_http_requests_total{N}[R]))`, "{{class}}"),
	},
	{
		title: "Time to an outcome",
		help:  "Of submissions to this node. If only this node is slow, look at its disk and its network. Type: `iostat -x 5`.",
		unit:  units.Seconds, width: 12,
		ask:   []query{{quantile("0.5"), "half"}, {quantile("0.99"), "99 in 100"}},
		steps: bad(1),
	},
}

var nodeFiles = []panel{
	{
		title: "Lines of log and audit that were lost",
		help: "Nobody reads the log, or the audit file cannot be written. Type: `systemctl status systemd-journald`, and " +
			"`df -h` on the directory of the audit file.",
		unit: units.Short, width: 8,
		ask:   each(`increase(METRIC{N}[R])`, "flk_log_lines_dropped_total", "log", "flk_audit_dropped_total", "audit"),
		steps: bad(1),
	},
	{
		title: "Certificate, key and checkpoint files",
		help:  "Files that changed and were refused: the earlier ones stay in use. Type: `recount-node config check --config FILE`.",
		unit:  units.Short, width: 8,
		ask: append(ask(`increase(flk_tls_reloads_total{N}[1h])`, "{{certificate}} {{result}}"),
			each(`METRIC{N}`, "flk_key_files_failed", "keys failed", "flk_checkpoint_key_file_failed", "checkpoint keys failed")...),
	},
	{
		title: "Days until its certificates end",
		help:  "A running node loads new files by itself. Type: `recount-node certs create-node`, see docs/tls-mtls.md.",
		unit:  units.Days, width: 8, signed: true,
		ask:   ask(`flk_tls_certificate_expiry_seconds{N} / 86400`, "{{certificate}}"),
		steps: low(21),
	},
}
