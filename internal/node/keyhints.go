package node

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/recount-ledger/recount/internal/verify"
)

// hintSlots bounds the memory of keyHints: half a MiB, and the facts of each key that signs.
const hintSlots = 1 << 16

// keyHints remembers how the last record of a shard was signed. A shard usually has one agent, which has one key.
// Shards of one slot displace each other. A hint changes only what a search costs. Its zero value is ready to use.
type keyHints struct {
	slots [hintSlots]atomic.Pointer[verify.Facts] // by shard
	last  atomic.Pointer[verify.Facts]            // of any shard
}

var hintSeed = maphash.MakeSeed()

func (h *keyHints) slot(shard string) *atomic.Pointer[verify.Facts] {
	return &h.slots[maphash.String(hintSeed, shard)%hintSlots]
}

// of returns the hint for a record of the shard, zero Facts for none.
func (h *keyHints) of(shard string) verify.Facts {
	hint := h.slot(shard).Load()
	if hint == nil {
		hint = h.last.Load()
	}
	if hint == nil {
		return verify.Facts{}
	}
	return *hint
}

// put remembers how a record of the shard was signed.
func (h *keyHints) put(shard string, hit verify.Facts) {
	h.slot(shard).Store(&hit)
	h.last.Store(&hit)
}
