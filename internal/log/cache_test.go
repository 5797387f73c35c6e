package log

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestMemtablesLeaveTheCache: blocks that were read stay in memory, although Pebble takes two full memtables out of the cache.
func TestMemtablesLeaveTheCache(t *testing.T) {
	s, _ := openMem(t, vfs.NewMem(), Options{MemTableBytes: 1 << 20, CacheBytes: 512 << 10, TailBytes: 1})
	const n = 300
	for i := uint64(1); i <= n; i += 10 {
		must(t, s.StoreLogs(entries(i, 10, 1, 20_000)))
	}
	must(t, s.db.Flush())
	s.CommittedTo(n)
	for i := uint64(1); i <= n; i++ {
		must(t, s.With(i, func(Entry) error { return nil }))
	}
	if got := s.db.Metrics().BlockCache.Size; got < 256<<10 || got > 1<<20 {
		t.Errorf("the cache holds %d bytes of blocks", got)
	}
	must(t, s.Close())
}
