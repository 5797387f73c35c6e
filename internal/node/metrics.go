package node

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
)

// registerMetrics adds the metrics of the node itself to the registry. The API adds its own.
func (n *Node) registerMetrics() error {
	all := slices.Concat(
		[]prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})},
		logCollectors(n), consensusCollectors(n), seedCollectors(n), healthCollectors(n), intakeCollectors(n),
		keyCollectors(n), notaryCollectors(n), stateCollectors(n), recountCollectors(n), traceCollectors(n.tracer.Counters()),
		certificateCollectors(n.apiFiles), certificateCollectors(n.peerFiles))
	var errs []error
	for _, c := range all {
		errs = append(errs, n.registry.Register(c))
	}
	return errors.Join(errs...)
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
}

func counter(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
}

func foldedCounter(outcome string, f func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name:        "flk_folded_total",
		Help:        "Submissions folded on this node, by outcome.",
		ConstLabels: prometheus.Labels{"outcome": outcome},
	}, func() float64 { return float64(f()) })
}

func throttledCounter(limit string, n *atomic.Uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: api.ThrottledName, Help: api.ThrottledHelp,
		ConstLabels: prometheus.Labels{"limit": limit}}, func() float64 { return float64(n.Load()) })
}

// logCollectors are about the event log, its fold and the lines of the process.
func logCollectors(n *Node) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("flk_log_committed_index", "Highest Raft index that this node knows to be committed.", func() float64 {
			return float64(n.store.Committed())
		}),
		gauge("flk_applied_seq", "Last event folded by the active generation.", func() float64 {
			return float64(n.gens.Serving().Cursor().Seq)
		}),
		gauge("flk_fold_lag_entries", "Committed entries that the active generation has not folded.", func() float64 {
			return float64(n.store.Committed()) - float64(n.gens.Serving().Cursor().Index)
		}),
		counter("flk_audit_lines_total", "Lines written to the audit stream.", func() float64 {
			w, _ := n.audit.stream.Stats()
			return float64(w)
		}),
		counter("flk_audit_dropped_total", "Lines of the audit stream that were not written.", func() float64 {
			_, d := n.audit.stream.Stats()
			return float64(d)
		}),
		counter("flk_log_lines_dropped_total",
			"Lines of the node's log that were not written: its reader is away or too slow.", n.cfg.logDropped),
		counter("flk_packs_total", "Packs sent by this node.", func() float64 {
			_, p := n.packer.Stats()
			return float64(p)
		}),
		counter("flk_log_syncs_total", "WAL fsyncs of the event log.", func() float64 {
			return float64(n.store.Syncs())
		}),
		counter("flk_log_appends_total", "Durable appends of the event log, one or more packs each.", func() float64 {
			return float64(n.store.Packs())
		}),
		counter("flk_log_scrubbed_bytes_total",
			"Bytes of the event log's tables that were examined for damage in the background.", func() float64 {
				return float64(n.stats.scrubbed.Load())
			}),
		counter("flk_log_scrubs_total", "Examinations of all tables of the event log that were completed.",
			func() float64 { return float64(n.stats.scrubs.Load()) }),
	}
}

// consensusCollectors are about Raft and the other voters.
func consensusCollectors(n *Node) []prometheus.Collector {
	return []prometheus.Collector{
		counter("flk_raft_commit_clamped_total",
			"AppendEntries requests with a commit index beyond the entries that they carried. This node used "+
				"the lower one.",
			func() float64 {
				return float64(n.cluster.Counts().Clamped)
			}),
		counter("flk_raft_heartbeats_held_total",
			"Heartbeats that this leader held back because its disk hangs, so that another node can lead.",
			func() float64 { return float64(n.cluster.Counts().Held) }),
		counter("flk_read_rounds_total",
			"Rounds in which a majority confirmed this leader for linearizable reads.", func() float64 {
				return float64(n.cluster.Counts().ReadRounds)
			}),
		counter("flk_linearizable_reads_total", "Linearizable reads that these rounds served.", func() float64 {
			return float64(n.cluster.Counts().Reads)
		}),
		gauge("flk_leader", "1 when this node leads and takes proposals.", func() float64 {
			return boolFloat(n.raft.IsLeader())
		}),
		counter("flk_doubts_dropped_total",
			"Questions to the other voters that were dropped because 4,096 were open.", func() float64 {
				return float64(n.doubts.Dropped())
			}),
		gauge("flk_yielding",
			"1 when this node does not lead because it cannot take submissions and a majority of the others can.",
			func() float64 { return boolFloat(n.cluster.Yielding()) }),
		counter("flk_peer_refusals_total",
			"Times that this node refused another one: other founding members, a lost or exchanged directory, or removed.",
			func() float64 { return float64(n.cluster.PeerRefusals()) }),
		gauge("flk_refused_by_members",
			"1 when other members refuse this node, or were founded with others. readyz has the reason.", func() float64 {
				return boolFloat(n.cluster.Standing() != nil)
			}),
		gauge("flk_removed", "1 when the cluster has removed this node for good and it still runs: stop it.",
			func() float64 { return boolFloat(cluster.Left(n.cluster) != nil) }),
		gauge("flk_proposal_queue_bytes", "Payload bytes that wait for consensus.", func() float64 {
			b, _ := n.packer.Stats()
			return float64(b)
		}),
	}
}

// healthCollectors say whether this node can do its work.
func healthCollectors(n *Node) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("flk_clock_offset_seconds",
			"How far this node's wall clock is ahead of the time of a majority of the voters, now or last known.",
			func() float64 { return n.cluster.Clock().Offset.Seconds() }),
		gauge("flk_clock_ok",
			"1 when a majority of the voters agrees on the time and this node's clock is near it.", func() float64 {
				return boolFloat(n.clock.check() == nil)
			}),
		gauge("flk_quarantined", "1 when this node answers no client because it contradicts the others.",
			func() float64 { return boolFloat(n.quarantine.entered()) }),
		gauge("flk_suspended",
			"1 when this node answers no client because it contradicts another node and no majority decides.",
			func() float64 { return boolFloat(n.doubts.Suspended() != "") }),
		gauge("flk_disk_free_bytes",
			"Free disk space for the data directory, without what the ballast still needs.", func() float64 {
				return float64(n.disk.Free())
			}),
		gauge("flk_disk_needed_bytes", "Free disk space below which this node refuses submissions.", func() float64 {
			return float64(n.disk.Needed())
		}),
		counter("flk_damaged_stores_total", "Folded states that could not be read and are folded again.",
			func() float64 { return float64(n.damages.Load() + n.gens.Damages()) }),
	}
}

// intakeCollectors count submissions.
func intakeCollectors(n *Node) []prometheus.Collector {
	counts := n.intake.Counters()
	return []prometheus.Collector{
		counter("flk_structure_errors_total", "Malformed submissions that were refused and not kept.", func() float64 {
			return float64(counts.Malformed.Load())
		}),
		counter("flk_frozen_refusals_total", "Submissions refused at this node because of a freeze, not kept.",
			func() float64 { return float64(counts.Frozen.Load()) }),
		counter("flk_false_facts_total",
			"Submissions that this leader refused because their signature facts are false.", func() float64 {
				return float64(n.stats.falseFacts.Load())
			}),
		counter("flk_refusals_repeated_total",
			"Conflicting or malformed submissions that got their first answer and were not kept again.",
			func() float64 { return float64(counts.Repeats.Load()) }),
		gauge("flk_freezes", "Freezes in force.", func() float64 { return float64(n.operator.Freezes.InForce()) }),
		throttledCounter("node", &counts.ThrottledByNode), throttledCounter("key", &counts.ThrottledByKey),
		counter("flk_refusals_dropped_total",
			"Submissions with a bad signature that were answered but not logged, because the budget was used up.",
			func() float64 { return float64(counts.Dropped.Load()) }),
		counter("flk_refusals_dropped_bytes_total", "Bytes of the submissions in flk_refusals_dropped_total.",
			func() float64 { return float64(counts.DroppedBytes.Load()) }),
		foldedCounter("accepted", n.stats.accepted.Load), foldedCounter("escalated", n.stats.escalated.Load),
		foldedCounter("refused", n.stats.refused.Load), foldedCounter("conflict", n.stats.conflict.Load),
	}
}

// keyCollectors are about the signing keys.
func keyCollectors(n *Node) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("flk_keys", "Verification keys that this node holds.", func() float64 {
			return float64(len(n.keys.Verifiers().Keys()))
		}),
		gauge("flk_key_files_failed",
			"1 when the key files could not be read again. The previous keys stay in use.", func() float64 {
				return boolFloat(n.keys.filesFailed.Load())
			}),
		gauge("flk_oldest_key_age_seconds", "Age of the oldest active signing key.", func() float64 {
			return n.operator.Keys.OldestAge().Seconds()
		}),
		gauge("flk_longest_unused_key_seconds", "Idle time of the least recently used active signing key.",
			func() float64 { return n.operator.Keys.LongestUnused().Seconds() }),
		gauge("flk_missing_secrets", "Active HMAC keys of the ledger whose secret this node lacks.", func() float64 {
			return float64(len(n.keys.MissingSecrets()))
		}),
	}
}

func (c Config) logDropped() float64 {
	if c.LogDropped == nil {
		return 0
	}
	return float64(c.LogDropped())
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
