package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

func seqKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), spaceSeq), seq)
}

func tileKey(t log.Tile) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 10), spaceTile, t.Level), t.N)
}

func encodeLocation(index uint64, events int, logTime int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 20), index)
	b = binary.BigEndian.AppendUint32(b, uint32(events))
	return binary.BigEndian.AppendUint64(b, uint64(logTime))
}

// location is a place row: an entry and its events.
type location struct {
	first, index uint64 // the first event and the raft index
	events       uint64
	logTime      int64
}

func (l location) holds(seq uint64) bool { return seq >= l.first && seq-l.first < l.events }

func decodeLocation(k, v []byte) (location, error) {
	if len(k) != 9 || len(v) != 20 {
		return location{}, fmt.Errorf("place row %x: %w", k, projections.ErrCorrupt)
	}
	return location{binary.BigEndian.Uint64(k[1:]), binary.BigEndian.Uint64(v), uint64(binary.BigEndian.Uint32(v[8:])),
		int64(binary.BigEndian.Uint64(v[12:]))}, nil
}

// ErrFormat means that a folded state was written by another release, in rows that this one does not read. It is
// deleted and folded again.
var ErrFormat = projections.ErrFormat

// positionFormat is the format of all rows of derived/, in the position row. Format 1 had a row for each Merkle hash.
const positionFormat = 2

// positionHead is the length of a position row without the configuration.
const positionHead = 1 + 5*8 + 32

// encodePosition encodes the position row: format, index, term, seq, log time, configuration index (all big-endian
// 64 bit), root of the Merkle tree, configuration bytes.
func encodePosition(c Cursor, root [32]byte, conf confRow) []byte {
	b := append(make([]byte, 0, positionHead+len(conf.data)), positionFormat)
	for _, n := range []uint64{c.Index, c.Term, c.Seq, uint64(c.LogTime), conf.index} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(append(b, root[:]...), conf.data...)
}

func decodePosition(b []byte) (c Cursor, root [32]byte, conf confRow, err error) {
	switch {
	case b == nil:
		return c, root, conf, nil
	case len(b) > 0 && b[0] != positionFormat:
		return c, root, conf, fmt.Errorf("%w: %d, this one has %d", ErrFormat, b[0], positionFormat)
	case len(b) < positionHead:
		return c, root, conf, errors.New("the position row cannot be read")
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	conf = confRow{index: n(4), data: append([]byte(nil), b[positionHead:]...)}
	return Cursor{Index: n(0), Term: n(1), Seq: n(2), LogTime: int64(n(3))}, [32]byte(b[41:]), conf, nil
}
