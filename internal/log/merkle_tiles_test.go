package log

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// memTiles is a store of tiles.
type memTiles map[Tile][]byte

func (m memTiles) read(t Tile) ([]byte, error) { return m[t], nil }

func (m memTiles) set(t Tile, data []byte) { m[t] = slices.Clone(data) }

// TestTiles: the tiles of a tree hold what C2SP tlog-tiles says, and give the hashes that tlog stores one by one. A tree
// that is flushed at any size, given up in part, and loaded again goes on to the same tiles.
func TestTiles(t *testing.T) {
	const size = 3*TileWidth*TileWidth + 5*TileWidth + 7
	want, tiles := stored(t, size), memTiles{}
	var e, next TileEdge
	for n := uint64(0); n < size; {
		to := min(size, n+1+n%777)
		next.Copy(&e)
		for range 3 { // leaves that are given up
			must(t, next.Append(numbered(0), func(Tile, []byte) {}))
		}
		next.Copy(&e)
		for ; n < to; n++ {
			must(t, next.Append(numbered(n), tiles.set))
		}
		next.Flush(tiles.set)
		e, next = next, e
		root, err := Root(n, want)
		must(t, err)
		if again, err := LoadTileEdge(n, root, tiles.read); err != nil || again.Root() != e.Root() || e.Root() != root {
			t.Fatalf("%d leaves: loaded with root %x, %v, want %x", n, again.Root(), err, root)
		} else if n%2 == 0 {
			e = again
		}
	}
	r := TileHashes(tiles.read)
	for index, hash := range want.h {
		if got, err := r.ReadHashes([]int64{int64(index)}); err != nil || got[0] != hash {
			t.Fatalf("hash %d is %x, %v, want %x", index, got, err, hash)
		}
	}
	for tile, data := range tiles {
		path := tlog.Tile{H: tileHeight, L: int(tile.Level), N: int64(tile.N), W: len(data) / tlog.HashSize}
		if got, err := tlog.ReadTileData(path, want); err != nil || !slices.Equal(got, data) {
			t.Errorf("tile %s is not that of tlog: %v", path.Path(), err)
		}
	}
	if n := len(tiles); n != 3*TileWidth+6+4+1 {
		t.Errorf("%d tiles", n)
	}
}

// TestDamagedTiles: a tree is not loaded from tiles that do not give its root, nor read from tiles that are too short.
func TestDamagedTiles(t *testing.T) {
	const size = 2*TileWidth + 3
	tiles := memTiles{}
	var e TileEdge
	for n := range uint64(size) {
		must(t, e.Append(numbered(n), tiles.set))
	}
	e.Flush(tiles.set)
	root := e.Root()
	for tile, data := range tiles {
		for name, wrong := range map[string][]byte{"gone": nil, "short": data[:len(data)-1], "flipped": flipped(data)} {
			tiles[tile] = wrong
			_, err := LoadTileEdge(size, root, tiles.read)
			if full := len(data) == tileBytes; (err == nil) != full || !full && !errors.Is(err, ErrTree) {
				t.Errorf("tile %+v %s: %v", tile, name, err)
			}
			if _, err := Root(TileWidth-1, TileHashes(tiles.read)); tile == (Tile{}) && name == "gone" && !errors.Is(err, ErrTree) {
				t.Errorf("read without tile %+v: %v", tile, err)
			}
		}
		tiles[tile] = data
	}
	if _, err := LoadTileEdge(size-1, root, tiles.read); !errors.Is(err, ErrTree) {
		t.Errorf("another size: %v", err)
	}
	lost := errors.New("no disk")
	if _, err := LoadTileEdge(size, root, func(Tile) ([]byte, error) { return nil, lost }); !errors.Is(err, lost) {
		t.Errorf("without a disk: %v", err)
	}
}

func flipped(data []byte) []byte {
	out := slices.Clone(data)
	out[len(out)/2] ^= 16
	return out
}
