package evidence

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

// TestExternalProofs: the cases of transparency-dev/merkle, valid and corrupted.
func TestExternalProofs(t *testing.T) {
	for _, name := range []string{"inclusion", "consistency"} {
		raw, err := os.ReadFile("../testdata/external/rfc6962-" + name + ".ndjson")
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

// TestOutside: a proof outside of its tree, or of a tree beyond what can be, is refused.
func TestOutside(t *testing.T) {
	var h [32]byte
	for _, err := range []error{
		CheckInclusion(1, 1, h, h, nil), CheckInclusion(1<<63, 1<<63+1, h, h, nil), CheckInclusion(0, 0, h, h, nil),
		CheckConsistency(0, 1, h, h, nil), CheckConsistency(2, 1, h, h, nil), CheckConsistency(1, 1<<63, h, h, nil),
	} {
		if !errors.Is(err, ErrProof) {
			t.Errorf("got %v", err)
		}
	}
}

// foreignTree is a tree that the library of transparency-dev makes.
func foreignTree(size int) *testonly.Tree {
	tree := testonly.New(rfc6962.New(crypto.SHA256))
	for n := range size {
		tree.AppendData(leafNumber(n).Append(nil))
	}
	return tree
}

func leafNumber(n int) Leaf {
	return Leaf{Format: 1, Seq: uint64(n) + 1, RawTime: 1_700_000_000_000_000_000 + int64(n), Kind: 2,
		PayloadSHA256: sha256.Sum256([]byte{byte(n), byte(n >> 8)})}
}

func fixed(in [][]byte) (out [][32]byte) {
	for _, b := range in {
		out = append(out, [32]byte(b))
	}
	return out
}

// TestForeignProofs: the proofs that another library makes are accepted, for the right leaf and place only.
func TestForeignProofs(t *testing.T) {
	const size = 70
	tree := foreignTree(size)
	for to := uint64(1); to <= size; to++ {
		root := [32]byte(tree.HashAt(to))
		for n := range to {
			foreign, err := tree.InclusionProof(n, to)
			must(t, err)
			p, leaf := fixed(foreign), leafNumber(int(n)).Hash()
			must(t, CheckInclusion(n, to, leaf, root, p))
			if CheckInclusion(n, to, leafNumber(int(n)+1).Hash(), root, p) == nil || n+1 < to &&
				CheckInclusion(n+1, to, leaf, root, p) == nil {
				t.Fatalf("leaf %d of %d proves another leaf or place", n, to)
			}
		}
		for from := uint64(1); from < to; from++ {
			foreign, err := tree.ConsistencyProof(from, to)
			must(t, err)
			p, old := fixed(foreign), [32]byte(tree.HashAt(from))
			must(t, CheckConsistency(from, to, old, root, p))
			if CheckConsistency(from, to, root, root, p) == nil ||
				CheckConsistency(from, to, old, root, append(slices.Clone(p), root)) == nil {
				t.Fatalf("%d to %d proves another tree", from, to)
			}
		}
	}
}
