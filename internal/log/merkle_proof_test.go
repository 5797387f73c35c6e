package log

import (
	"crypto"
	"fmt"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// TestProofsAbroad: the proofs that are read from tiles are those that another library makes and accepts, for trees
// that end before, at and behind the edges of tiles.
func TestProofsAbroad(t *testing.T) {
	const size = TileWidth*TileWidth + 2*TileWidth + 3
	hasher := rfc6962.New(crypto.SHA256)
	theirs, tiles := testonly.New(hasher), memTiles{}
	var e TileEdge
	for n := range uint64(size) {
		leaf := numbered(n)
		theirs.Append(leaf[:])
		must(t, e.Append(leaf, tiles.set))
	}
	e.Flush(tiles.set)
	r := TileHashes(tiles.read)
	sizes := []uint64{1, 2, 3, 255, 256, 257, 511, 512, 65535, 65536, 65537, 65792, size - 1, size}
	for _, to := range sizes {
		root := theirs.HashAt(to)
		for _, n := range append(sizes, 0, 100, 300, 65600) {
			if n >= to {
				continue
			}
			ours, err := Inclusion(n, to, r)
			must(t, err)
			leaf := numbered(n)
			must(t, proof.VerifyInclusion(hasher, n, to, leaf[:], loose(ours), root))
			want, err := theirs.InclusionProof(n, to)
			must(t, err)
			if !slices.EqualFunc(loose(ours), want, slices.Equal) {
				t.Fatalf("leaf %d of %d: another proof", n, to)
			}
		}
		for _, from := range sizes {
			if from > to {
				continue
			}
			ours, err := Consistency(from, to, r)
			must(t, err)
			must(t, proof.VerifyConsistency(hasher, from, to, loose(ours), theirs.HashAt(from), root))
		}
	}
}

func loose(in [][32]byte) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}

// TestProofReads: a proof reads at most two tiles of each level, however large the tree is.
func TestProofReads(t *testing.T) {
	for size, most := range map[uint64]int{1: 1, 257: 3, 70_000: 5, 10_000_000: 5, 1 << 32: 8} {
		read := map[Tile]int{}
		full := make([]byte, tileBytes)
		r := TileHashes(func(tile Tile) ([]byte, error) {
			read[tile]++
			return full[:32*TileWidthAt(tile, size)], nil
		})
		count := func(what string) {
			t.Helper()
			if len(read) > most {
				t.Errorf("%s of %d leaves reads %d tiles: %v", what, size, len(read), read)
			}
			for tile, n := range read {
				if n > 1 {
					t.Errorf("%s of %d leaves reads tile %v %d times", what, size, tile, n)
				}
			}
			clear(read)
		}
		for _, n := range []uint64{0, size / 300, size / 3, size / 2, size - 1} {
			_, err := Inclusion(n, size, r)
			must(t, err)
			count(fmt.Sprintf("inclusion of leaf %d", n))
			_, err = Consistency(n+1, size, r)
			must(t, err)
			count(fmt.Sprintf("consistency from %d", n+1))
		}
	}
}

// TestTileWidthAt: the widths of the example in C2SP tlog-tiles, a tree of 70,000 leaves.
func TestTileWidthAt(t *testing.T) {
	for tile, want := range map[Tile]int{
		{0, 0}: 256, {0, 272}: 256, {0, 273}: 112, {0, 274}: 0, {1, 0}: 256, {1, 1}: 17, {1, 2}: 0, {2, 0}: 1, {2, 1}: 0,
		{3, 0}: 0, {8, 0}: 0, {255, 0}: 0,
	} {
		if got := TileWidthAt(tile, 70_000); got != want {
			t.Errorf("tile %v has %d hashes, want %d", tile, got, want)
		}
	}
	if full, next := TileWidthAt(Tile{0, 0}, 256), TileWidthAt(Tile{1, 0}, 256); full != 256 || next != 1 {
		t.Errorf("256 leaves: %d and %d", full, next)
	}
}
