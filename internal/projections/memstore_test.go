package projections

import (
	"bytes"
	"slices"
	"sort"
)

// MemStore is a Tx in memory. It is not safe for concurrent use.
type MemStore struct {
	rows map[string][]byte
	keys []string // sorted when clean
	flat bool
}

// NewMemStore returns an empty store.
func NewMemStore() *MemStore { return &MemStore{rows: map[string][]byte{}, flat: true} }

// Get implements Store.
func (m *MemStore) Get(key []byte) ([]byte, error) { return m.rows[string(key)], nil }

// Set implements Tx.
func (m *MemStore) Set(k, v []byte) {
	if _, ok := m.rows[string(k)]; !ok {
		m.flat = false
	}
	m.rows[string(k)] = append(make([]byte, 0, len(v)), v...)
}

// Delete implements Tx.
func (m *MemStore) Delete(k []byte) {
	delete(m.rows, string(k))
	m.flat = false
}

// Len is the number of rows.
func (m *MemStore) Len() int { return len(m.rows) }

// Scan implements Store.
func (m *MemStore) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	m.sort()
	from := sort.SearchStrings(m.keys, string(lo))
	to := len(m.keys)
	if hi != nil {
		to = max(from, sort.SearchStrings(m.keys, string(hi)))
	}
	part := m.keys[from:to:to]
	for i := range part {
		k := part[i]
		if reverse {
			k = part[len(part)-1-i]
		}
		if !fn([]byte(k), m.rows[k]) {
			return nil
		}
	}
	return nil
}

func (m *MemStore) sort() {
	if m.flat {
		return
	}
	keys := make([]string, 0, len(m.rows))
	for k := range m.rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	m.keys, m.flat = keys, true
}

// Equal reports whether both stores hold the same rows.
func (m *MemStore) Equal(o *MemStore) bool {
	if len(m.rows) != len(o.rows) {
		return false
	}
	for k, v := range m.rows {
		w, ok := o.rows[k]
		if !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}
