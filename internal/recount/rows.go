package recount

import (
	"fmt"
	"maps"
	"slices"
)

// EachRow calls fn for every row of the generations, in their order, and of the history. Only how far generations are
// compared is left out. Key and value are valid during the call only.
func (m *Manager) EachRow(fn func(store string, k, v []byte)) error {
	visit := func(store string, each func(func(k, v []byte) bool) error) error {
		err := each(func(k, v []byte) bool { fn(store, k, v); return true })
		if err != nil {
			return fmt.Errorf("rows of %s: %w", store, err)
		}
		return nil
	}
	for _, number := range slices.Sorted(maps.Keys(m.numbers())) {
		r, _ := m.Get(number)
		if r == nil {
			continue // dropped a moment ago
		}
		if err := visit(fmt.Sprintf("generations/%d", number), r.EachRow); err != nil {
			return err
		}
	}
	return visit("history", m.history.EachRow)
}
