package projections

// Store reads rows. Get returns nil, nil for an absent key. Its result is valid until the next write. Scan
// calls fn for the rows in [lo, hi) in key order, backwards if reverse is set, until fn returns false. A nil hi
// means no bound.
type Store interface {
	Get(key []byte) ([]byte, error)
	Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error
}

// Tx is one atomic batch of a fold. Get sees the batch's own writes. Scan need not, and no fold relies on it. Set and
// Delete keep copies: the caller may change key and value afterwards.
type Tx interface {
	Store
	Set(k, v []byte)
	Delete(k []byte)
}
