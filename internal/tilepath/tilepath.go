// Package tilepath reads the paths of tiles of a Merkle tree (C2SP tlog-tiles).
//
//	067             tile 67, with all of its 256 hashes
//	x001/067        tile 1067
//	x001/067.p/5    the first 5 hashes of tile 1067
package tilepath

import (
	"strconv"
	"strings"
)

// Width is the number of hashes of a full tile.
const Width = 256

// digitsEach is the number of digits of one element of a path.
const digitsEach = 3

// Parse reads <N>[.p/<W>]: N in elements of three digits, all but the last one with an x in front, and for a
// tile that is not full its width W. Exactly one spelling of a tile is accepted, because caches tell them apart
// by it.
func Parse(path string) (number uint64, width int, ok bool) {
	width = Width
	if rest, w, partial := strings.Cut(path, ".p/"); partial {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n >= Width || strconv.Itoa(n) != w {
			return 0, 0, false
		}
		path, width = rest, n
	}
	elements := strings.Split(path, "/")
	for i, e := range elements {
		digits, more := strings.CutPrefix(e, "x")
		n, err := strconv.ParseUint(digits, 10, 64)
		if more != (i < len(elements)-1) || len(digits) != digitsEach || err != nil || i == 0 && more && n == 0 ||
			number > (1<<63)/1000 {
			return 0, 0, false
		}
		number = number*1000 + n
	}
	return number, width, true
}
