package pcs

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// SignedDigest returns the SHA-256 of the signed values in a fixed encoding: the text "recount/signed/1", then
// pcs_id, merkle_root and shard_id (each preceded by its length in bytes), then epoch, D_hat, coh_star, r and
// budget. Numbers are big-endian 64 bit, the last four in units of 1e-9. The digest is persisted, so the
// encoding must never change.
func (r *Record) SignedDigest(t Tuple) [32]byte {
	return sha256.Sum256(r.appendSigned(make([]byte, 0, 512), "recount/signed/1", t))
}

// InputsDigest returns the SHA-256 of everything that a verdict can depend on: "recount/inputs/1" and the
// members of SignedDigest, then schema, version, regime (with lengths), scales in order, N_j in the byte order
// of its keys (an object has no order of its own), v_star (null as the empty one), seed and ft.degraded. It
// leaves out attempt, sent_at, sig, the other members of ft and unknown members. The digest is persisted, so
// the encoding must never change.
func (r *Record) InputsDigest(t Tuple) [32]byte {
	b := r.appendSigned(make([]byte, 0, 1024), "recount/inputs/1", t)
	for _, s := range []string{r.Schema, r.Version, r.Regime} {
		b = appendText(b, s)
	}
	b = appendInt(b, int64(len(r.Scales)))
	for _, s := range r.Scales {
		b = appendInt(b, s)
	}
	b = appendInt(b, int64(len(r.NJ)))
	var few [16]Count
	for _, c := range sortedCounts(few[:0], r.NJ) {
		b = appendInt(appendText(b, c.Key), c.N)
	}
	b = appendInt(b, int64(len(r.VStar)))
	for _, v := range r.VStar {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	b = appendInt(b, r.Seed)
	if r.Degraded {
		return sha256.Sum256(append(b, 1))
	}
	return sha256.Sum256(append(b, 0))
}

// sortedCounts returns the counts in the byte order of their keys. It appends a copy to memory if they are not
// in this order.
func sortedCounts(memory, counts []Count) []Count {
	byKey := func(a, b Count) int { return strings.Compare(a.Key, b.Key) }
	if slices.IsSortedFunc(counts, byKey) {
		return counts
	}
	sorted := append(memory, counts...)
	slices.SortFunc(sorted, byKey)
	return sorted
}

func (r *Record) appendSigned(b []byte, label string, t Tuple) []byte {
	b = append(b, label...)
	for _, s := range []string{r.PCSID, r.MerkleRoot, r.ShardID} {
		b = appendText(b, s)
	}
	for _, n := range []int64{r.Epoch, int64(t.DHat), int64(t.CohStar), int64(t.R), int64(t.Budget)} {
		b = appendInt(b, n)
	}
	return b
}

func appendInt(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendText(b []byte, s string) []byte { return append(appendInt(b, int64(len(s))), s...) }
