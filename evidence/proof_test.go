package evidence

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	foreignproof "github.com/transparency-dev/formats/proof"
)

// sampleProof proves leaf 41 of a tree of 99.
func sampleProof(t testing.TB) (Proof, Leaf, SecretKey) {
	t.Helper()
	_, k := newKey(t, origin)
	tree := foreignTree(99)
	msg, err := SignCheckpoint(Checkpoint{Origin: origin, Size: 99, Root: [32]byte(tree.Hash())}, k)
	must(t, err)
	foreign, err := tree.InclusionProof(41, 99)
	must(t, err)
	return Proof{Index: 41, Hashes: fixed(foreign), Checkpoint: msg}, leafNumber(41), k
}

// TestProof: a proof goes there and back, through another library too, and holds for its leaf alone.
func TestProof(t *testing.T) {
	p, leaf, k := sampleProof(t)
	got, err := ParseProof(p.Text())
	must(t, err)
	if got.Index != p.Index || !slices.Equal(got.Hashes, p.Hashes) || !bytes.Equal(got.Checkpoint, p.Checkpoint) {
		t.Errorf("read as %+v", got)
	}
	c, by, err := got.Check(leaf.Hash(), k.Public())
	if err != nil || c.Size != 99 || len(by) != 1 {
		t.Errorf("%+v by %v, %v", c, by, err)
	}
	if _, _, err := got.Check(leafNumber(42).Hash(), k.Public()); !errors.Is(err, ErrProof) {
		t.Errorf("another leaf: %v", err)
	}
	var theirs foreignproof.TLogProof
	must(t, theirs.Unmarshal(p.Text()))
	if theirs.Index != 41 || !slices.Equal(theirs.Hashes, p.Hashes) || !bytes.Equal(theirs.Checkpoint, p.Checkpoint) ||
		!bytes.Equal(theirs.Marshal(), p.Text()) {
		t.Errorf("they read %+v", theirs)
	}
}

// TestEveryBitOfAProof: no changed bit, missing byte or further byte of a proof is accepted.
func TestEveryBitOfAProof(t *testing.T) {
	p, leaf, k := sampleProof(t)
	tried := refusesEveryChange(t, p.Text(), func(b []byte) error {
		got, err := ParseProof(b)
		if err == nil {
			_, _, err = got.Check(leaf.Hash(), k.Public())
		}
		return err
	})
	t.Logf("%d changes of %d bytes refused", tried, len(p.Text()))
}

// TestWrongProofs: more hashes than a tree can need, extra data, and numbers with another spelling.
func TestWrongProofs(t *testing.T) {
	p, _, _ := sampleProof(t)
	text := string(p.Text())
	long := p
	long.Hashes = make([][32]byte, maxHashes+1)
	for name, wrong := range map[string]string{
		"long": string(long.Text()), "extra": strings.Replace(text, "index", "extra AAAA\nindex", 1),
		"title": "x" + text,
		"zero":  strings.Replace(text, "index 41", "index 041", 1), "no index": strings.Replace(text, "index 41\n", "", 1),
		"sign": strings.Replace(text, "index 41", "index +41", 1), "empty": "",
		"no checkpoint": text[:strings.Index(text, "\n\n")],
	} {
		if got, err := ParseProof([]byte(wrong)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: read as %+v, %v", name, got, err)
		}
	}
}

// TestLeaf: a header goes there and back, and only 51 bytes of a known format are one.
func TestLeaf(t *testing.T) {
	l := leafNumber(7)
	b := l.Append(nil)
	if got, err := ParseLeaf(b); err != nil || got != l || len(b) != LeafSize {
		t.Errorf("%+v, %v", got, err)
	}
	format, zero := slices.Clone(b), slices.Clone(b)
	format[0] = 2
	copy(zero[1:9], make([]byte, 8))
	for _, wrong := range [][]byte{nil, b[:50], append(slices.Clone(b), 0), format, zero} {
		if got, err := ParseLeaf(wrong); !errors.Is(err, ErrFormat) {
			t.Errorf("%x is read as %+v, %v", wrong, got, err)
		}
	}
}
