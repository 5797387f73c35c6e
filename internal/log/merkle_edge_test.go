package log

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// numbered is a leaf that differs from all others.
func numbered(n uint64) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, n)) }

// stored is the store of a tree of size leaves, built by tlog alone.
func stored(t *testing.T, size uint64) *memHashes {
	t.Helper()
	st := &memHashes{}
	for n := range size {
		must(t, st.addLeaf(n, numbered(n)))
	}
	return st
}

// TestRightEdge: an edge in memory gives the hashes to store and the roots that tlog gives from stored hashes.
func TestRightEdge(t *testing.T) {
	const size = 1100
	st, e := &memHashes{}, RightEdge{}
	for n := range uint64(size) {
		if want, err := Root(n, st); err != nil || e.Root() != want || e.Size() != n {
			t.Fatalf("size %d: root %x, want %x, %v", e.Size(), e.Root(), want, err)
		}
		want, err := tlog.StoredHashesForRecordHash(int64(n), numbered(n), st)
		must(t, err)
		got, err := e.Append(nil, numbered(n))
		must(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("leaf %d: %x, want %x", n, got, want)
		}
		must(t, st.WriteHashes(FirstHash(n), got))
	}
}

// TestLoadEdge: an edge that is read back at any size goes on as the one that was never left.
func TestLoadEdge(t *testing.T) {
	const size = 700
	st := stored(t, size)
	rng := rand.New(rand.NewPCG(7, 7))
	for _, at := range append([]uint64{0, 1, 2, 3, 255, 256, 257, 511, 512, 699}, rng.Uint64N(size), rng.Uint64N(size)) {
		e, err := LoadEdge(at, st)
		must(t, err)
		var hs []tlog.Hash
		for n := at; n < size; n++ {
			hs, err = e.Append(hs, numbered(n))
			must(t, err)
		}
		if want := st.h[tlog.StoredHashCount(int64(at)):]; !slices.Equal(hs, want) {
			t.Errorf("from size %d on, other hashes than without leaving", at)
		}
	}
}

// TestLoadEdgeOfDamage: no flipped bit in a hash at the edge, or in one of its halves, is taken for the tree.
func TestLoadEdgeOfDamage(t *testing.T) {
	for _, size := range []uint64{2, 3, 6, 7, 64, 100, 255} {
		st := stored(t, size)
		found := 0
		for i := range st.h {
			st.h[i][i%32] ^= 1
			if _, err := LoadEdge(size, st); errors.Is(err, ErrTree) {
				found++
			} else {
				must(t, err)
			}
			st.h[i][i%32] ^= 1
		}
		// Each subtree of more than one leaf is checked with its halves.
		if want := 3 * bits.OnesCount64(size&^1); found != want {
			t.Errorf("%d leaves: %d damaged hashes found, want %d", size, found, want)
		}
	}
	if _, err := LoadEdge(6, &memHashes{}); err == nil || errors.Is(err, ErrTree) {
		t.Errorf("an empty store: %v", err)
	}
}

// TestEdgeCopies: a copy goes on alone.
func TestEdgeCopies(t *testing.T) {
	e, err := LoadEdge(7, stored(t, 7))
	must(t, err)
	before := e.Root()
	var c RightEdge
	c.Copy(&e)
	for n := range uint64(20) {
		_, err := c.Append(nil, numbered(n))
		must(t, err)
	}
	if e.Root() != before || e.Size() != 7 || c.Size() != 27 {
		t.Errorf("root %x of %d, want %x", e.Root(), e.Size(), before)
	}
	c.Copy(&e)
	if c.Root() != before || c.Size() != 7 {
		t.Errorf("copied again: root %x of %d, want %x", c.Root(), c.Size(), before)
	}
}
