package node

import (
	"context"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/operator"
)

// status describes this node and its cluster.
type status struct {
	cfg     *Config
	names   func() []string // ids that the ledger had and has, the present one last
	version func() uint32   // the cluster version
	members func() cluster.Status
	place   func(ctx context.Context, member string) (place, error) // asks a member for its position
	apiOf   func(member string) string                              // returns the base URL of its API, if known
	checks  []check
}

// parts returns the node as the API takes it.
func (n *Node) parts() api.Ledger {
	return api.Ledger{
		Submitter:   n.intake,
		Views:       n.views,
		Keys:        n.operator.Keys,
		Freezes:     n.operator.Freezes,
		KnownShards: n.operator.KnownShards,
		Policies:    n.operator.Policies,
		Generations: n.operator.Generations,
		Operations:  n.operator.Operations,
		Tokens:      n.operator.Tokens,
		Credentials: n.operator.Tokens,
		Members:     n.operator.Members,
		Copies:      n.copies,
		Evidence:    n.notary,
		Status: &status{
			cfg:     &n.cfg,
			names:   func() []string { return n.derived.Control().Names(n.derived.Cursor().Seq) },
			version: func() uint32 { return n.derived.Control().ClusterVersion() },
			members: n.cluster.Status,
			place:   n.placeOf,
			apiOf:   n.roll.apiOf,
			checks:  n.readiness(),
		},
	}
}

func (n *Node) newOperator(tokens operator.TokensFile) *operator.Operator {
	return operator.New(operator.Options{
		NodeID:              n.cfg.NodeID,
		Voters:              n.roll.voterIDs,
		Membership:          n.cluster,
		Entrance:            n.entrance,
		MemberWithout:       n.releases.voterWithout,
		Releases:            n.releases,
		TwoPerson:           n.cfg.TwoPerson,
		Timeout:             n.cfg.SubmitTimeout,
		File:                tokens,
		State:               n.derived,
		Log:                 n.packer,
		Quorum:              n.cluster,
		Recounts:            n.gens,
		Clock:               n.clock,
		Logger:              n.log,
		Verifiers:           n.keys.Verifiers,
		RequireCapabilities: n.releases.RequireCapabilities,
		DiskReserve:         n.disk.PauseBelow,
		Stopping:            n.closing.Load,
		Quarantined:         n.quarantine.entered,
		Problem:             func(err error) error { return proposeProblem(err, n) },
	})
}
