package node

import (
	"cmp"
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/seed"
)

// ErrSeeded ends a node that joins and has copied the log of a member. When the node opens again, it starts on that
// log, and Raft sends what came after.
var ErrSeeded = errors.New("the log of a member was copied; the node opens again and starts on it")

// handleSeeds lets nodes that join copy the log of this one.
func handleSeeds(n *Node) {
	n.seeds = seed.NewSource(n.copies.Manager, func() seed.State {
		_, leads := n.cluster.IsLeader()
		return seed.State{Bytes: n.store.Metrics().DiskBytes, Seq: n.gens.Serving().Cursor().Seq, Leads: leads}
	})
	n.cluster.Handle(seed.OfferPath, n.seeds.Offer)
	n.cluster.Handle(seed.MakePath, n.seeds.Make)
	n.cluster.Handle(seed.ReadPath, n.seeds.Read)
	n.cluster.Handle(seed.DonePath, n.seeds.Done)
	cluster.OpenToVisits(n.cluster, seed.OfferPath, seed.MakePath, seed.ReadPath, seed.DonePath)
	if !n.cluster.Hold().Closed() {
		return
	}
	n.seeding = seed.NewReceiver(seed.Options{
		Dir:       n.cfg.Dir,
		Node:      n.cfg.NodeID,
		ClusterID: n.cfg.ClusterID,
		From:      uint64(cmp.Or(n.cfg.SeedFrom, seed.DefaultFrom)),
		Members:   n.cfg.others,
		Added:     n.cluster.Hold().Added(),
		Room:      func() uint64 { return n.disk.Free() - min(n.disk.Free(), n.disk.PauseBelow()) },
		Call:      n.cluster.Call,
		Logger:    n.log,
	})
}

// others are the other nodes of the settings, at which a node that joins finds the members.
func (c *Config) others() (out []string) {
	for _, v := range c.Voters {
		if v.ID != c.NodeID {
			out = append(out, v.ID)
		}
	}
	return out
}

// joinLedger gets the log of the cluster for a node that joins.
func joinLedger(ctx context.Context, n *Node) error {
	if n.seeding != nil {
		out, err := n.seeding.Run(ctx)
		if err != nil {
			return err
		}
		if out == seed.Copied {
			return ErrSeeded
		}
		n.log.Info("the log is replicated by Raft")
		n.cluster.Hold().Release()
	}
	<-ctx.Done()
	return ctx.Err()
}

// installSeed puts the log that an earlier start has copied in its place.
func installSeed(n *Node) error {
	joining, err := cluster.Joining(n.cfg.Dir)
	if err != nil || !joining || n.cfg.FS != nil {
		return err
	}
	_, err = seed.Install(n.cfg.Dir, n.log)
	return err
}

// checkMember returns why this node takes no part in the cluster.
func checkMember(n *Node) error {
	if err := n.cluster.Standing(); err != nil || !n.cluster.Hold().Closed() {
		return err
	}
	return errors.New(cmp.Or(n.entry.reason(), n.seeding.Status().Reason()))
}

// seedCollectors are about copies of the log between nodes.
func seedCollectors(n *Node) []prometheus.Collector {
	status := func() seed.Status {
		if n.seeding == nil {
			return seed.Status{}
		}
		return n.seeding.Status()
	}
	all := []prometheus.Collector{
		gauge("flk_seed_bytes",
			"Bytes of the copy of the log that this joining node gets from a member, 0 without one.",
			func() float64 { return float64(status().Bytes) }),
		gauge("flk_seed_present_bytes", "Bytes of that copy that are here.",
			func() float64 { return float64(status().Have) }),
		counter("flk_seed_failures_total", "Attempts to copy the log of a member that failed and are repeated.",
			func() float64 { return float64(status().Failures) }),
		counter("flk_seed_sent_bytes_total", "Bytes of copies of the log that this node sent to nodes that join.",
			func() float64 { return float64(n.seeds.Sent()) }),
	}
	for _, p := range seed.Phases() {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flk_seed_phase",
			Help:        "1 for the phase in which a joining node gets the log, 0 for all else and on other nodes.",
			ConstLabels: prometheus.Labels{"phase": string(p)}}, func() float64 {
			return boolFloat(status().Phase == p)
		}))
	}
	return all
}
