package fsm

// comparisonSpaces hold this node's progress in comparing a generation and the generation compared with. Nodes
// differ in them.
const comparisonSpaces = "fF"

// EachRow calls fn for every row until it returns false. Key and value are valid only during the call.
func (d *Derived) EachRow(fn func(k, v []byte) bool) error {
	v := d.store.Snapshot()
	defer v.Close()
	return v.Scan(nil, nil, false, fn)
}

// EachRow calls fn for every row, except those of a comparison, until it returns false. Key and value are valid
// only during the call.
func (g *Generation) EachRow(fn func(k, v []byte) bool) error {
	v := g.View()
	defer v.Close()
	return v.Scan(nil, nil, false, func(k, val []byte) bool {
		if k[0] == comparisonSpaces[0] || k[0] == comparisonSpaces[1] {
			return true
		}
		return fn(k, val)
	})
}

// EachRow calls fn for every row until it returns false. Key and value are valid only during the call.
func (h *History) EachRow(fn func(k, v []byte) bool) error {
	if err := h.Damage(); err != nil {
		return err
	}
	v := h.store.Snapshot()
	defer v.Close()
	return v.Scan(nil, nil, false, fn)
}
