package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/projections"
)

func seqKey(seq uint64) []byte { return numberKey(spaceSeq, seq) }

func hashKey(index int64) []byte { return numberKey(spaceHash, uint64(index)) }

func numberKey(space byte, n uint64) []byte {
	k := make([]byte, 9)
	k[0] = space
	binary.BigEndian.PutUint64(k[1:], n)
	return k
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

// encodePosition encodes the position row: format 1, index, term, seq, log time, configuration index (all
// big-endian 64 bit), configuration bytes.
func encodePosition(c Cursor, conf confRow) []byte {
	b := []byte{1}
	for _, n := range []uint64{c.Index, c.Term, c.Seq, uint64(c.LogTime), conf.index} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(b, conf.data...)
}

func decodePosition(b []byte) (Cursor, confRow, error) {
	if b == nil {
		return Cursor{}, confRow{}, nil
	}
	if len(b) < 41 || b[0] != 1 {
		return Cursor{}, confRow{}, errors.New("the position row cannot be read")
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	conf := confRow{index: n(4), data: append([]byte(nil), b[41:]...)}
	return Cursor{Index: n(0), Term: n(1), Seq: n(2), LogTime: int64(n(3))}, conf, nil
}
