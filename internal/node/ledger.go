package node

import "github.com/recount-ledger/recount/internal/api"

// status describes this node and its cluster.
type status struct{ *Node }

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
		Status:      status{n},
	}
}
