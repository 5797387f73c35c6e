package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestMemtablesLeaveTheCache: blocks that were read stay in memory, although Pebble takes two full memtables out of the cache.
func TestMemtablesLeaveTheCache(t *testing.T) {
	s, err := OpenStore(vfs.NewMem(), "s", quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 160
	key := func(i int) []byte { return binary.BigEndian.AppendUint64([]byte{spaceTile}, uint64(i)) }
	value := make([]byte, 1<<20)
	for i := range n {
		for at := range len(value) / 4096 { // not all of it can be compressed
			sum := sha256.Sum256(key(i*4096 + at))
			copy(value[at*4096:], sum[:])
		}
		tx := s.begin(1)
		tx.Set(key(i), value)
		if err := tx.commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := flushAll(s); err != nil {
		t.Fatal(err)
	}
	v := s.Snapshot()
	for i := range n {
		if got, err := v.Get(key(i)); err != nil || len(got) != len(value) {
			t.Fatal(i, len(got), err)
		}
	}
	if got := s.Metrics().BlockCache.Size; got < 16<<20 || got > 2*(cacheBytes-2*memTableBytes) {
		t.Errorf("the cache holds %d bytes of blocks", got)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
