package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/recount"
)

// recountCollectors are about the generations of this node.
func recountCollectors(n *Node) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("flk_generation", "Number of the generation that this node answers with.", func() float64 {
			return float64(n.gens.Serving().Number())
		}),
		gauge("flk_recount_generation", "Number of the newest inactive generation, 0 without one.",
			func() float64 { return float64(recount.NewestInactive(n.gens).Generation) }),
		gauge("flk_recount_folded_seq", "Last event that this generation has folded.",
			func() float64 { return float64(recount.NewestInactive(n.gens).Folded) }),
		gauge("flk_recount_compared_seq", "Last event up to which it was compared with the generation that was active.",
			func() float64 { return float64(recount.NewestInactive(n.gens).Compared) }),
		gauge("flk_recount_flips", "Outcomes up to there in which the two generations differ.",
			func() float64 { return float64(recount.NewestInactive(n.gens).Flips) }),
		gauge("flk_recount_paused", "1 while this generation waits for disk space.",
			func() float64 { return boolFloat(recount.NewestInactive(n.gens).Paused) }),
		gauge("flk_recount_failed", "1 when this generation cannot be folded or compared any more.",
			func() float64 { return boolFloat(recount.NewestInactive(n.gens).Failed) }),
	}
}
