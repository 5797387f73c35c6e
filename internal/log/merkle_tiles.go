package log

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileWidth is the number of hashes in a full tile, as in C2SP tlog-tiles.
const TileWidth = 1 << tileHeight

const (
	tileHeight = 8
	tileBytes  = TileWidth * tlog.HashSize
)

// Tile names a tile of a Merkle tree. The tiles of level 0 hold the leaf hashes in order, TileWidth of them each. Those
// of the next level hold the roots of the full tiles of the level below. The last tile of a level may be partial. All
// other hashes of the tree follow from those in a tile.
type Tile struct {
	Level uint8
	N     uint64 // number among the tiles of its level, from 0
}

// TileWidthAt returns the number of hashes that a tile has in the tree of size leaves: TileWidth when it is full, 0
// when the tree has no such tile.
func TileWidthAt(t Tile, size uint64) int {
	if t.Level >= tileLevels {
		return 0
	}
	hashes := size >> (uint(t.Level) * tileHeight) // of the level
	full, rest := hashes>>tileHeight, int(hashes%TileWidth)
	switch {
	case t.N < full:
		return TileWidth
	case t.N == full:
		return rest
	}
	return 0
}

// TileHashes returns a reader of stored hashes for Root, Edge and the proofs. It reads each tile that it needs once in a
// call and computes the hashes from it. read returns the hashes of a tile, one after the other. A tile that is too
// short is an ErrTree.
func TileHashes(read func(Tile) ([]byte, error)) tlog.HashReader { return tileHashes(read) }

type tileHashes func(Tile) ([]byte, error)

// ReadHashes implements tlog.HashReader.
func (read tileHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out, seen := make([]tlog.Hash, len(indexes)), map[Tile][]byte{}
	for i, index := range indexes {
		t := tlog.TileForIndex(tileHeight, index)
		name := Tile{uint8(t.L), uint64(t.N)}
		data, ok := seen[name]
		if !ok {
			var err error
			if data, err = read(name); err != nil {
				return nil, err
			}
			seen[name] = data
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: tile %d of level %d has %d bytes, hash %d is missing", ErrTree, name.N, name.Level,
				len(data), index)
		}
		var err error
		if out[i], err = tlog.HashFromTile(t, data, index); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTree, err)
		}
	}
	return out, nil
}

// TileEdge is the right edge of a Merkle tree whose hashes are stored in tiles: the roots of the complete subtrees and
// the tiles that are not full. The zero value is the empty tree.
type TileEdge struct {
	RightEdge
	partial [tileLevels][]byte // by level
	changed [tileLevels]bool   // since the last Flush
}

// tileLevels is the number of levels of tiles that maxTree leaves need.
const tileLevels = 64 / tileHeight

// LoadTileEdge reads the edge of the tree of the first size leaves. The hashes of a partial tile that do not give root,
// the tree hash, are an ErrTree.
func LoadTileEdge(size uint64, root [32]byte, read func(Tile) ([]byte, error)) (e TileEdge, err error) {
	roots, err := Edge(size, TileHashes(read))
	if err != nil {
		return TileEdge{}, err
	}
	e.RightEdge = RightEdge{size: size, roots: hashes(roots)}
	if e.Root() != root {
		return TileEdge{}, fmt.Errorf("%w: the root of %d leaves is not %x", ErrTree, size, root)
	}
	for level, n := 0, size; n > 0; level, n = level+1, n>>tileHeight {
		width := int(n % TileWidth)
		if width == 0 {
			continue
		}
		data, err := read(Tile{uint8(level), n >> tileHeight})
		if err != nil {
			return TileEdge{}, err
		}
		if len(data) != width*tlog.HashSize {
			return TileEdge{}, fmt.Errorf("%w: the last tile of level %d has %d bytes at %d leaves", ErrTree, level, len(data),
				size)
		}
		e.partial[level] = append(make([]byte, 0, tileBytes), data...)
	}
	return e, nil
}

// Copy makes e a copy of other. Both may be appended to, but not in turn: what is appended to the one is lost for the
// other.
func (e *TileEdge) Copy(other *TileEdge) {
	e.RightEdge.Copy(&other.RightEdge)
	e.partial, e.changed = other.partial, other.changed
}

// Append adds leaf, an RFC 6962 leaf hash. It calls full with each tile that becomes full, whose data is valid during the call.
func (e *TileEdge) Append(leaf [32]byte, full func(Tile, []byte)) error {
	n := e.size
	var room [2 * tileHeight]tlog.Hash
	hashes, err := e.RightEdge.Append(room[:0], leaf)
	if err != nil {
		return err
	}
	for level := 0; level*tileHeight < len(hashes); level, n = level+1, n>>tileHeight {
		data := e.partial[level]
		if data == nil {
			data = make([]byte, 0, tileBytes)
		}
		data = append(data, hashes[level*tileHeight][:]...)
		if e.partial[level], e.changed[level] = data, true; len(data) == tileBytes {
			full(Tile{uint8(level), n >> tileHeight}, data)
			e.partial[level], e.changed[level] = nil, false
		}
	}
	return nil
}

// Flush calls write with each partial tile that has changed since the last Flush. The data is valid during the call.
func (e *TileEdge) Flush(write func(Tile, []byte)) {
	for level, n := 0, e.size; n > 0; level, n = level+1, n>>tileHeight {
		if e.changed[level] {
			write(Tile{uint8(level), n >> tileHeight}, e.partial[level])
			e.changed[level] = false
		}
	}
}
