package log

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/recount-ledger/recount/evidence"
)

type memHashes struct{ h []tlog.Hash }

func (m *memHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(m.h)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		out[i] = m.h[x]
	}
	return out, nil
}

func (m *memHashes) WriteHashes(first int64, hashes []tlog.Hash) error {
	if first != int64(len(m.h)) {
		return fmt.Errorf("hashes from %d, have %d", first, len(m.h))
	}
	m.h = append(m.h, hashes...)
	return nil
}

// addLeaf appends a leaf as tlog does, by reading the stored hashes.
func (m *memHashes) addLeaf(n uint64, leaf [32]byte) error {
	hashes, err := tlog.StoredHashesForRecordHash(int64(n), leaf, m)
	if err != nil {
		return err
	}
	return m.WriteHashes(FirstHash(n), hashes)
}

func unhex(t *testing.T, s string) (h [32]byte) {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	if len(b) != 32 {
		t.Fatalf("hash %q", s)
	}
	return [32]byte(b)
}

func sameProof(t *testing.T, got [][32]byte, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("proof of %d hashes, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != unhex(t, want[i]) {
			t.Fatalf("proof hash %d: %x, want %s", i, got[i], want[i])
		}
	}
}

func TestMerkleGolden(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/golden/merkle_rfc6962.json")
	must(t, err)
	var g struct {
		Leaves []string `json:"leaves_hex"`
		Trees  []struct {
			Size        uint64
			Root        string
			Inclusion   [][]string
			Consistency map[uint64][]string
		}
	}
	must(t, json.Unmarshal(raw, &g))
	if len(g.Trees) < 10 {
		t.Fatalf("%d trees", len(g.Trees))
	}
	st, leaves := &memHashes{}, [][32]byte{}
	for i, l := range g.Leaves {
		b, err := hex.DecodeString(l)
		must(t, err)
		leaf := sha256.Sum256(append([]byte{0}, b...))
		leaves = append(leaves, leaf)
		must(t, st.addLeaf(uint64(i), leaf))
	}
	roots := map[uint64][32]byte{}
	for _, tr := range g.Trees {
		root, err := Root(tr.Size, st)
		must(t, err)
		if root != unhex(t, tr.Root) {
			t.Fatalf("size %d: root %x", tr.Size, root)
		}
		roots[tr.Size] = root
		for n, want := range tr.Inclusion {
			p, err := Inclusion(uint64(n), tr.Size, st)
			must(t, err)
			sameProof(t, p, want)
			must(t, evidence.CheckInclusion(uint64(n), tr.Size, leaves[n], root, p))
		}
		for old, want := range tr.Consistency {
			p, err := Consistency(old, tr.Size, st)
			must(t, err)
			sameProof(t, p, want)
			must(t, evidence.CheckConsistency(old, tr.Size, roots[old], root, p))
		}
	}
}

func TestMerkleOutside(t *testing.T) {
	st := &memHashes{}
	must(t, st.addLeaf(0, [32]byte{}))
	for _, err := range []error{
		second((&RightEdge{size: maxTree}).Append(nil, [32]byte{})),
		second(Root(1<<63, st)), second(Inclusion(1, 1, st)),
		second(Inclusion(0, 1<<63, st)), second(Consistency(0, 1, st)), second(Consistency(2, 1, st)),
		second(Consistency(1, 1<<63, st)),
	} {
		if !errors.Is(err, ErrProof) {
			t.Fatalf("got %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestEdge: the subtrees at the edge of a tree give its root, and with the leaves that follow the roots of larger ones.
func TestEdge(t *testing.T) {
	st := &memHashes{}
	for size := uint64(0); size < 70; size++ {
		edge, err := Edge(size, st)
		must(t, err)
		if len(edge) != bits.OnesCount64(size) {
			t.Fatalf("size %d: %d subtrees", size, len(edge))
		}
		if size > 0 {
			root := edge[len(edge)-1]
			for _, left := range slices.Backward(edge[:len(edge)-1]) {
				root = tlog.NodeHash(left, root)
			}
			if want, err := Root(size, st); err != nil || root != want {
				t.Errorf("size %d: %x, want %x, %v", size, root, want, err)
			}
		}
		must(t, st.addLeaf(size, sha256.Sum256([]byte{byte(size)})))
	}
	if _, err := Edge(maxTree+1, st); !errors.Is(err, ErrProof) {
		t.Error(err)
	}
}
