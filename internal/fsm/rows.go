package fsm

// comparisonSpaces of a generation say how far this node has compared it and with which one: nodes differ in that.
const comparisonSpaces = "fF"

// EachRow calls fn for every row until it answers false. Key and value are valid during the call only.
func (d *Derived) EachRow(fn func(k, v []byte) bool) error {
	v := d.store.Snapshot()
	defer v.Close()
	return v.Scan(nil, nil, false, fn)
}

// EachRow calls fn for every row but those of a comparison, until it answers false. Key and value are valid during the call only.
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

// EachRow calls fn for every row until it answers false. Key and value are valid during the call only.
func (h *History) EachRow(fn func(k, v []byte) bool) error {
	if err := h.Damage(); err != nil {
		return err
	}
	v := h.store.Snapshot()
	defer v.Close()
	return v.Scan(nil, nil, false, fn)
}
