package node

import (
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/cluster"
)

// checkLedger refuses a log whose ledger has another name than the settings say. A node that joins a restored cluster
// first gets the entries of the cluster before. They do not name the node, and the restoration comes before those that
// do.
func (n *Node) checkLedger() error {
	names := n.derived.Control().Names(n.derived.Cursor().Seq)
	if len(names) == 0 || names[len(names)-1] == n.cfg.ClusterID ||
		!errors.Is(cluster.CheckUnusedID(n.derived, n.cfg.NodeID), cluster.ErrUsedID) {
		return nil
	}
	return fmt.Errorf("%w: the ledger in %s is that of cluster %q, the settings say %q; give the node its own "+
		"directory back", cluster.ErrForeignDirectory, n.cfg.Dir, names[len(names)-1], n.cfg.ClusterID)
}
