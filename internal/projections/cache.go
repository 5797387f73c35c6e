package projections

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// rowCache caches rows that a fold reads again and again, as they are after the last event folded. Rows that it
// drops are read from the store. It is bounded, and valid only while every transaction that filled it is committed.
// After a transaction that was not committed, the Generation and its cache are loaded again.
type rowCache struct {
	shards agingCache[*shardRow]
	keys   agingCache[uint64] // key numbers
}

// Bounds of a cache, in rows per half.
const (
	cachedShards = 1 << 15
	cachedKeys   = 1 << 12
)

func newRowCache() *rowCache {
	return &rowCache{shards: newAgingCache[*shardRow](cachedShards), keys: newAgingCache[uint64](cachedKeys)}
}

// shard returns the row of a shard, or nil if there is none. A caller that changes the row must write it.
func (m *rowCache) shard(s Store, id string) (*shardRow, error) {
	if w, ok := m.shards.get(id); ok {
		return w, nil
	}
	w, err := read(s, textKey(spaceShard, id), decodeShardRow)
	if err == nil && w != nil {
		m.shards.put(id, w)
	}
	return w, err
}

// key returns the number of a key. known is false if it has none yet.
func (m *rowCache) key(s Store, id string) (num uint64, known bool, err error) {
	if num, known = m.keys.get(id); known {
		return num, true, nil
	}
	b, err := s.Get(textKey(spaceKey, id))
	if err != nil || b == nil {
		return 0, false, err
	}
	if len(b) != 8 {
		return 0, false, fmt.Errorf("key row: %w", ErrCorrupt)
	}
	num = binary.BigEndian.Uint64(b)
	m.keys.put(id, num)
	return num, true, nil
}

// agingCache is a map that drops entries not used for long. It has two halves. When the younger one is full, the
// older one is dropped.
type agingCache[V any] struct {
	young, old map[string]V
	limit      int
}

func newAgingCache[V any](limit int) agingCache[V] {
	return agingCache[V]{young: map[string]V{}, limit: limit}
}

func (r *agingCache[V]) get(key string) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok {
		r.put(key, v)
	}
	return v, ok
}

func (r *agingCache[V]) put(key string, v V) {
	if len(r.young) >= r.limit {
		r.old, r.young = r.young, make(map[string]V, r.limit)
	}
	r.young[strings.Clone(key)] = v // clone, because key may be a part of a whole record
}
