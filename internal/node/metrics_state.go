package node

import (
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// stateCollectors returns the metrics about the build, the sizes of the stores and the tokens.
func stateCollectors(n *Node) []prometheus.Collector {
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f)
	}
	all := []prometheus.Collector{
		gauge("flk_build_info", "Always 1. The labels name the build.",
			prometheus.Labels{"version": version.Name(), "goversion": runtime.Version()}, func() float64 { return 1 }),
		gauge("flk_cluster_version", "Cluster version that this node has folded: which formats the log may hold.",
			nil, func() float64 { return float64(n.derived.Control().ClusterVersion()) }),
		gauge("flk_cluster_version_known", "Newest cluster version that the build of this node knows.",
			nil, func() float64 { return float64(n.releases.newest) }),
		gauge("flk_ballast_missing_bytes",
			"Bytes of the disk reserve that are not there: released because the disk was full, or not created yet.",
			nil, func() float64 {
				return float64(n.disk.BallastMissing())
			}),
		gauge("flk_log_bytes", "Bytes on disk of the event log.", nil, func() float64 {
			return float64(n.store.Metrics().DiskBytes)
		}),
	}
	for store, size := range map[string]func() uint64{
		"events": func() uint64 { return n.store.Metrics().DiskBytes }, "derived": n.derived.DiskBytes,
		"generations": n.gens.DiskBytes, "history": n.gens.HistoryBytes,
	} {
		all = append(all, gauge("flk_store_bytes",
			"Bytes on disk of a store: the event log, the control state derived from it, all generations, and "+
				"what activations changed.",
			prometheus.Labels{"store": store}, func() float64 { return float64(size()) }))
	}
	for _, role := range wire.Roles() {
		all = append(all, gauge("flk_token_expiry_seconds",
			"Seconds until the first token of the role ends, of those that count now and were made for more "+
				"than 14 days; +Inf without any.",
			prometheus.Labels{"role": string(role)}, func() float64 {
				if left, ok := n.operator.Tokens.FirstExpiry(role); ok {
					return left.Seconds()
				}
				return math.Inf(1)
			}))
	}
	return all
}

// certificateCollectors returns the metrics about the certificate files of one port.
func certificateCollectors(r *certs.Reloader) []prometheus.Collector {
	results := func(result string, count func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flk_tls_reloads_total",
			Help: "Changed certificate files, by what became of them; refused ones leave the earlier " +
				"ones in use.",
			ConstLabels: prometheus.Labels{"certificate": r.Name(), "result": result}}, func() float64 {
			return float64(count())
		})
	}
	return []prometheus.Collector{results("loaded", r.Loaded), results("refused", r.Refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flk_tls_certificate_expiry_seconds",
			Help:        "Seconds until the certificate in use expires, negative afterwards.",
			ConstLabels: prometheus.Labels{"certificate": r.Name()}}, func() float64 {
			return time.Until(r.End()).Seconds()
		})}
}
