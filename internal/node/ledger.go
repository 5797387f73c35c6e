package node

import "github.com/recount-ledger/recount/internal/api"

// ledger implements the parts of a node that the API uses.
type ledger struct{ *Node }

// parts returns the node as the API takes it.
func (n *Node) parts() api.Ledger {
	l := ledger{n}
	return api.Ledger{
		Submitter:   l,
		Views:       l,
		Keys:        l,
		Freezes:     l,
		KnownShards: l,
		Policies:    l,
		Generations: l,
		Operations:  l,
		Tokens:      l,
		Credentials: l,
		Status:      l,
	}
}
