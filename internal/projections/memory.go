package projections

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// memory caches rows that a fold reads again and again, as they are after the last event folded. Rows that it
// drops are read from the store. It is bounded, and valid only while every step that filled it is committed.
// After a step that was not committed, the Generation and its memory are loaded again.
type memory struct {
	shards recent[*shardRow]
	keys   recent[uint64] // key numbers
}

// Bounds of a memory, in rows per half.
const (
	recentShards = 1 << 15
	recentKeys   = 1 << 12
)

func newMemory() *memory {
	return &memory{shards: newRecent[*shardRow](recentShards), keys: newRecent[uint64](recentKeys)}
}

// shard returns the row of a shard, or nil if there is none. A caller that changes the row must write it.
func (m *memory) shard(s Store, id string) (*shardRow, error) {
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
func (m *memory) key(s Store, id string) (num uint64, known bool, err error) {
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

// recent is a map that drops entries not used for long. It has two halves. When the younger one is full, the
// older one is dropped.
type recent[V any] struct {
	young, old map[string]V
	limit      int
}

func newRecent[V any](limit int) recent[V] {
	return recent[V]{young: map[string]V{}, limit: limit}
}

func (r *recent[V]) get(key string) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok {
		r.put(key, v)
	}
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	if len(r.young) >= r.limit {
		r.old, r.young = r.young, make(map[string]V, r.limit)
	}
	r.young[strings.Clone(key)] = v // clone, because key may be a part of a whole record
}
