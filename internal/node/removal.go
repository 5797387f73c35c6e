package node

import (
	"context"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/pause"
)

// watchRemoval ends what clients wait for once the cluster has removed this node for good: it gets no entries any
// more, so none of it would be folded here. A client sends again to another node, which answers.
func watchRemoval(ctx context.Context, n *Node) error {
	for cluster.Left(n.cluster) == nil {
		if err := pause.For(ctx, clockPause); err != nil {
			return err
		}
	}
	n.packer.Close()
	<-ctx.Done()
	return ctx.Err()
}
