package evidence

import (
	"golang.org/x/mod/sumdb/tlog"
)

// ProvesFork reports whether two checkpoints that one ledger signed cannot be of one growing tree, whoever holds the
// ledger and whatever he says. They do so in two cases:
//
//   - They have the same size and different roots.
//   - The hashes of a consistency proof from the size of old to the size of next lead to the root of next, and on the
//     way to a root at the size of old that is not the one of old.
//
// Hashes that lead nowhere prove nothing: anybody can send such a proof. The proof of a tree whose size is a power of two
// starts from its root, so it never shows a fork. The caller has checked the signatures.
func ProvesFork(old, next Checkpoint, proof [][32]byte) bool {
	if old.Origin != next.Origin || old.Size == 0 || old.Size > next.Size {
		return false
	}
	if old.Size == next.Size {
		return old.Root != next.Root
	}
	before, after, ok := consistencyRoots(old.Size, next.Size, old.Root, proof)
	return ok && after == next.Root && before != old.Root
}

// consistencyRoots returns the roots to which a consistency proof leads (RFC 9162, section 2.1.4.2), with 0 < old < size.
// It is not ok when the proof has the wrong number of hashes.
func consistencyRoots(old, size uint64, root [32]byte, proof [][32]byte) (before, after [32]byte, ok bool) {
	if old&(old-1) == 0 {
		proof = append([][32]byte{root}, proof...)
	}
	if len(proof) == 0 {
		return before, after, false
	}
	fn, sn := old-1, size-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	before, after = proof[0], proof[0]
	for _, h := range proof[1:] {
		if sn == 0 {
			return before, after, false
		}
		if fn&1 == 1 || fn == sn {
			before, after = tlog.NodeHash(h, before), tlog.NodeHash(h, after)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			after = tlog.NodeHash(after, h)
		}
		fn, sn = fn>>1, sn>>1
	}
	return before, after, sn == 0
}
