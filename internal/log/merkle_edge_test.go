package log

import (
	"crypto/sha256"
	"encoding/binary"
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

// TestEdgeCopies: a copy goes on alone.
func TestEdgeCopies(t *testing.T) {
	var e RightEdge
	for n := range uint64(7) {
		_, err := e.Append(nil, numbered(n))
		must(t, err)
	}
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
