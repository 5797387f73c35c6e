package node

import (
	"fmt"
)

// EachRow calls fn for every row of the folded state, store by store: control state, generations and history.
// Nodes that have folded equally far have equal rows. It leaves out only how far generations are compared. Key
// and value are valid during the call only.
func (n *Node) EachRow(fn func(store string, k, v []byte)) error {
	err := n.derived.EachRow(func(k, v []byte) bool { fn("derived", k, v); return true })
	if err != nil {
		return fmt.Errorf("rows of derived: %w", err)
	}
	return n.gens.EachRow(fn)
}
