package node

import (
	"fmt"
	"maps"
	"slices"
)

// EachRow calls fn for every row of the folded state, store by store: control state, generations and history. Nodes that have
// folded equally far have equal rows; only how far generations are compared is left out. Key and value are valid during the call only.
func (n *Node) EachRow(fn func(store string, k, v []byte)) error {
	visit := func(store string, each func(func(k, v []byte) bool) error) error {
		err := each(func(k, v []byte) bool { fn(store, k, v); return true })
		if err != nil {
			return fmt.Errorf("rows of %s: %w", store, err)
		}
		return nil
	}
	if err := visit("derived", n.derived.EachRow); err != nil {
		return err
	}
	for _, number := range slices.Sorted(maps.Keys(n.openNumbers())) {
		r, _ := n.gens.get(number)
		if r == nil {
			continue // dropped a moment ago
		}
		if err := visit(fmt.Sprintf("generations/%d", number), r.EachRow); err != nil {
			return err
		}
	}
	return visit("history", n.history.EachRow)
}
