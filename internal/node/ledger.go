package node

import "github.com/recount-ledger/recount/internal/api"

// ledger implements the parts of a node that the API uses.
type ledger struct{ *Node }

// parts returns the node as the API takes it.
func (n *Node) parts() api.Ledger {
	l := ledger{n}
	return api.Ledger{
		Submitter:   n.intake,
		Views:       l,
		Keys:        n.operator.Keys,
		Freezes:     n.operator.Freezes,
		KnownShards: n.operator.KnownShards,
		Policies:    n.operator.Policies,
		Generations: n.operator.Generations,
		Operations:  n.operator.Operations,
		Tokens:      n.operator.Tokens,
		Credentials: n.operator.Tokens,
		Status:      l,
	}
}
