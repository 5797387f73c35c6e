package projections

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key spaces of a generation. A key is one of these bytes followed by the fields listed here. Numbers are
// big-endian. The number of a shard or a key is the seq of the first submission that brought it. That is unique
// because a submission brings at most one of each.
const (
	spacePosition = 'p' // nothing: the position row
	spaceRow      = 'r' // seq u64: outcome row or operator row
	spaceDigest   = 'd' // seq u64, each 256th: running digest
	spaceID       = 'i' // pcs_id 32: id row
	spaceSame     = 'j' // pcs_id 32, seq u64: later submissions of the id
	spaceShard    = 's' // shard id: shard row
	spaceEpoch    = 'e' // shard number u64, epoch u64: epoch row
	spaceKey      = 'k' // key id: key number u64
	spacePolicy   = 'y' // seq of the policy's event u64: policy id
	spaceAgain    = 'w' // SHA-256 of what was refused 32: evidence row
	spaceByShard  = 'S' // first 8 bytes of the SHA-256 of the shard id, seq u64
	spaceByKey    = 'K' // key number u64, seq u64
	spaceByReason = 'R' // reason u8, seq u64
	spaceByResult = 'O' // outcome u8, seq u64; not for accepted
)

// Spaces that a store may keep in another form, because they have a row for each event. Rows of RowSpace are written in
// order of seq, without gaps. Rows of IndexSpaces have no value, and those with equal keys before the seq are written in
// order of seq. None is deleted.
const (
	RowSpace    = spaceRow
	IndexSpaces = string(spaceByShard) + string(spaceByKey) + string(spaceByReason) + string(spaceByResult)
)

func numKey(space byte, nums ...uint64) []byte {
	return appendNums(make([]byte, 0, 1+8*len(nums)), space, nums...)
}

func appendNums(dst []byte, space byte, nums ...uint64) []byte {
	dst = append(dst, space)
	for _, n := range nums {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func rowKey(seq uint64) []byte    { return numKey(spaceRow, seq) }
func digestKey(seq uint64) []byte { return numKey(spaceDigest, seq) }

func textKey(space byte, text string) []byte {
	return appendText(make([]byte, 0, 1+len(text)), space, text)
}

func appendText(dst []byte, space byte, text string) []byte {
	return append(append(dst, space), text...)
}

// byShard returns the prefix of the index of all submissions that name a shard, including those that left no
// trace in it. Two shards may share a prefix, so readers check the rows.
func byShard(shard string) []byte { return appendByShard(make([]byte, 0, 17), shard) }

func appendByShard(dst []byte, shard string) []byte {
	h := sha256.Sum256([]byte(shard))
	return append(append(dst, spaceByShard), h[:8]...)
}

func idKey(id [32]byte) []byte { return appendID(nil, id) }

func appendID(dst []byte, id [32]byte) []byte { return append(append(dst, spaceID), id[:]...) }

func sameKey(id [32]byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{spaceSame}, id[:]...), seq)
}

func codeKey(space, code byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{space, code}, seq)
}

// seqOf returns the seq at the end of an index key.
func seqOf(k []byte) uint64 { return binary.BigEndian.Uint64(k[len(k)-8:]) }
