package export

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"strings"
	"testing"
)

// TestTree: the growing tree has the hash and the subtrees of the definition at every size, also when it begins at an
// edge.
func TestTree(t *testing.T) {
	var leaves [][32]byte
	grown := &tree{}
	for n := range 67 {
		root := rootOf(leaves)
		if got := grown.root(); !bytes.Equal(got, root[:]) || grown.size != uint64(n) {
			t.Fatalf("%d leaves: %x of %d, want %x", n, got, grown.size, root)
		}
		var edge []string
		for _, r := range grown.roots {
			edge = append(edge, hex.EncodeToString(r[:]))
		}
		if want := edgeOf(leaves); strings.Join(edge, " ") != strings.Join(want, " ") || len(want) != bits.OnesCount(uint(n)) {
			t.Fatalf("%d leaves: subtrees %q, want %q", n, edge, want)
		}
		again, err := treeAt(&Edge{Seq: uint64(n), Log: hex.EncodeToString(root[:]), Subtrees: edge})
		must(t, err)
		for i := range 5 {
			again.add(sumBytes([]byte{byte(n + i)}))
		}
		longer := append([][32]byte{}, leaves...)
		for i := range 5 {
			longer = append(longer, sumBytes([]byte{byte(n + i)}))
		}
		if want := rootOf(longer); !bytes.Equal(again.root(), want[:]) {
			t.Fatalf("five more leaves behind %d: %x, want %x", n, again.root(), want)
		}
		leaf := sumBytes([]byte{byte(n)})
		leaves = append(leaves, leaf)
		grown.add(leaf)
	}
}

// TestTreeAt: an edge that does not fit its number or its digest is refused.
func TestTreeAt(t *testing.T) {
	leaves := [][32]byte{sumBytes([]byte("a")), sumBytes([]byte("b")), sumBytes([]byte("c"))}
	root := rootOf(leaves)
	edge := edgeOf(leaves)
	log := hex.EncodeToString(root[:])
	for name, e := range map[string]*Edge{
		"another number":          {Seq: 5, Log: log, Subtrees: edge},
		"fewer bits":              {Seq: 4, Log: log, Subtrees: edge},
		"a root less":             {Seq: 3, Log: log, Subtrees: edge[:1]},
		"a root more":             {Seq: 3, Log: log, Subtrees: append(append([]string{}, edge...), edge[0])},
		"roots that change place": {Seq: 3, Log: log, Subtrees: []string{edge[1], edge[0]}},
		"another digest":          {Seq: 3, Log: edge[0], Subtrees: edge},
		"no digest":               {Seq: 3, Subtrees: edge},
		"capitals":                {Seq: 3, Log: log, Subtrees: []string{strings.ToUpper(edge[0]), edge[1]}},
		"half a hash":             {Seq: 3, Log: log, Subtrees: []string{edge[0][:32], edge[1]}},
	} {
		_, err := treeAt(e)
		if name == "another number" { // two bits too, but the roots hash to the digest of three
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := treeAt(nil); err != nil {
		t.Error(err)
	}
}
