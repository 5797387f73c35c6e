package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// A cursor is opaque to clients. It holds the version, the kind of list, the generation, a digest of the
// filters and the position to continue from. It holds no secret and needs none: a forged cursor can only name
// another position in the same list.
type cursor struct {
	kind       byte // 'a' audit, 's' shards, 'f' flips
	generation uint32
	filters    [8]byte
	asOf       uint64 // the event that the time of the request meant on the first page; 0 if it gave none
	position   []byte
}

const (
	cursorVersion = 1
	cursorAsOf    = 2 // version of a cursor with asOf, which stands between filters and position
	cursorHeader  = 1 + 1 + 4 + 8
	maxPosition   = 256
)

var errCursor = errors.New("not a cursor of this list")

func (k cursor) String() string {
	b := append(make([]byte, 0, cursorHeader+8+len(k.position)), cursorVersion, k.kind)
	b = binary.BigEndian.AppendUint32(b, k.generation)
	b = append(b, k.filters[:]...)
	if k.asOf != 0 {
		b[0], b = cursorAsOf, binary.BigEndian.AppendUint64(b, k.asOf)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, k.position...))
}

// parseCursor decodes a cursor that was made for the same kind of list and the same filters.
func parseCursor(text string, kind byte, filters [8]byte) (cursor, error) {
	// the decoder skips line breaks even when strict
	if len(text) > base64.RawURLEncoding.EncodedLen(cursorHeader+8+maxPosition) || strings.ContainsAny(text, "\r\n") {
		return cursor{}, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= cursorHeader || b[1] != kind || [8]byte(b[6:14]) != filters {
		return cursor{}, errCursor
	}
	k := cursor{kind: kind, generation: binary.BigEndian.Uint32(b[2:6]), filters: filters, position: b[cursorHeader:]}
	if b[0] == cursorAsOf && len(k.position) > 8 {
		k.asOf, k.position = binary.BigEndian.Uint64(k.position), k.position[8:]
	}
	known := b[0] == cursorVersion || b[0] == cursorAsOf && k.asOf != 0 && k.asOf < 1<<63
	size := len(k.position)
	if !known || size > maxPosition || kind == 'a' && size != 8 || kind == 'f' && size != 16 {
		return cursor{}, errCursor
	}
	return k, nil
}

// digestFilters returns a digest of filter values. Their order matters.
func digestFilters(values ...string) [8]byte {
	sum := sha256.Sum256([]byte(strings.Join(values, "\x00")))
	return [8]byte(sum[:8])
}
