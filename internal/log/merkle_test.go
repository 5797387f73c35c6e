package log

import (
	"bufio"
	"bytes"
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
			must(t, CheckInclusion(uint64(n), tr.Size, leaves[n], root, p))
		}
		for old, want := range tr.Consistency {
			p, err := Consistency(old, tr.Size, st)
			must(t, err)
			sameProof(t, p, want)
			must(t, CheckConsistency(old, tr.Size, roots[old], root, p))
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
		second(Consistency(1, 1<<63, st)), CheckInclusion(1<<63, 1<<63+1, [32]byte{}, [32]byte{}, nil),
		CheckConsistency(1, 1<<63, [32]byte{}, [32]byte{}, nil),
	} {
		if !errors.Is(err, ErrProof) {
			t.Fatalf("got %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

type proofCase struct {
	LeafIdx, TreeSize, Size1, Size2 uint64
	Root, LeafHash, Root1, Root2    []byte
	Proof                           [][]byte
	Desc                            string
	WantErr                         bool
}

// hash32 gives values of another length, which some cases use as opaque roots, a hash of the right length.
func hash32(b []byte) [32]byte {
	if len(b) == 32 {
		return [32]byte(b)
	}
	return sha256.Sum256(b)
}

func (c proofCase) check() error {
	var proof [][32]byte
	for _, b := range c.Proof {
		proof = append(proof, hash32(b))
	}
	if c.Root1 != nil || c.Root2 != nil {
		return CheckConsistency(c.Size1, c.Size2, hash32(c.Root1), hash32(c.Root2), proof)
	}
	if len(c.Root) != 32 || len(c.LeafHash) != 32 {
		return ErrProof
	}
	return CheckInclusion(c.LeafIdx, c.TreeSize, hash32(c.LeafHash), hash32(c.Root), proof)
}

func TestMerkleExternal(t *testing.T) {
	for _, name := range []string{"inclusion", "consistency"} {
		raw, err := os.ReadFile("../../testdata/external/rfc6962-" + name + ".ndjson")
		must(t, err)
		good, all := 0, 0
		for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); all++ {
			var c proofCase
			must(t, json.Unmarshal(sc.Bytes(), &c))
			if err := c.check(); (err != nil) != c.WantErr {
				t.Errorf("%s: %s: got %v, want an error: %v", name, c.Desc, err, c.WantErr)
			} else if err == nil {
				good++
			}
		}
		if good != 6 || all != 98 {
			t.Errorf("%s: %d valid of %d", name, good, all)
		}
	}
}

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
