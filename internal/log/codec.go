package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// A key is keyPrefix followed by the index, big-endian. The database holds nothing else: a key that is
// rewritten often would make every table overlap every other one.
const (
	keyPrefix   = 'e'
	keySize     = 9
	valueFormat = 1
	headerSize  = 32
	hasAppended = 1 // flag: appended-at is set
)

func key(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyPrefix}, index) }

func keysEnd() []byte { return []byte{keyPrefix + 1} }

func keyIndex(k []byte) (uint64, error) {
	if len(k) != keySize || k[0] != keyPrefix {
		return 0, fmt.Errorf("%w: key %x", ErrCorrupt, k)
	}
	return binary.BigEndian.Uint64(k[1:]), nil
}

// record is one stored entry together with the fields of its header.
type record struct {
	Entry
	appended time.Time
	ext      []byte
	floor    uint64 // the committed floor that the node knew when it stored the entry
}

func (r *record) size() int { return headerSize + len(r.ext) + len(r.Data) }

func (r *record) fill(l *raft.Log) {
	*l = raft.Log{Index: r.Index, Term: r.Term, Type: r.Type, Data: r.Data, Extensions: r.ext, AppendedAt: r.appended}
}

func recordOf(l *raft.Log, floor uint64) record {
	e := Entry{Index: l.Index, Term: l.Term, Type: l.Type, Data: l.Data}
	return record{Entry: e, appended: l.AppendedAt, ext: l.Extensions, floor: min(floor, l.Index)}
}

// sum is the CRC-32C of the stored value.
func (r *record) sum() uint32 {
	var h [headerSize]byte
	r.header(h[:])
	return crc32.Update(crc32.Update(crc32.Checksum(h[:], castagnoli), castagnoli, r.ext), castagnoli, r.Data)
}

// encode writes r into dst, which must have r.size() bytes. The package comment shows the layout.
func (r *record) encode(dst []byte) {
	r.header(dst)
	copy(dst[headerSize:], r.ext)
	copy(dst[headerSize+len(r.ext):], r.Data)
}

func (r *record) header(dst []byte) {
	dst[0], dst[1] = valueFormat, uint8(r.Type)
	var flags uint16
	var at int64
	if !r.appended.IsZero() {
		flags, at = hasAppended, r.appended.UnixNano()
	}
	binary.BigEndian.PutUint16(dst[2:], flags)
	binary.BigEndian.PutUint64(dst[4:], r.Term)
	binary.BigEndian.PutUint64(dst[12:], uint64(at))
	binary.BigEndian.PutUint64(dst[20:], r.floor)
	binary.BigEndian.PutUint32(dst[28:], uint32(len(r.ext)))
}

// decodeRecord decodes the value of an entry. The result aliases v.
func decodeRecord(index uint64, v []byte) (record, error) {
	if len(v) >= headerSize && v[0] > valueFormat {
		return record{}, fmt.Errorf("%w: entry %d: format %d, this build knows %d; if a newer build ran here, start "+
			"that one", ErrCorrupt, index, v[0], valueFormat)
	}
	if len(v) < headerSize || v[0] != valueFormat {
		return record{}, fmt.Errorf("%w: entry %d: header", ErrCorrupt, index)
	}
	flags, at := binary.BigEndian.Uint16(v[2:]), int64(binary.BigEndian.Uint64(v[12:]))
	floor, ext := binary.BigEndian.Uint64(v[20:]), uint64(binary.BigEndian.Uint32(v[28:]))
	if flags > hasAppended || (flags == 0 && at != 0) || floor > index || ext > uint64(len(v)-headerSize) {
		return record{}, fmt.Errorf("%w: entry %d: flags %d floor %d extension %d", ErrCorrupt, index, flags,
			floor, ext)
	}
	r := record{floor: floor}
	r.Entry = Entry{Index: index, Term: binary.BigEndian.Uint64(v[4:]), Type: raft.LogType(v[1])}
	if flags == hasAppended {
		r.appended = time.Unix(0, at)
	}
	body := headerSize + int(ext)
	r.Data = v[body:len(v):len(v)]
	if ext > 0 {
		r.ext = v[headerSize:body:body]
	}
	return r, nil
}

// maxValue bounds the size of a value because Pebble's batch format has 32-bit lengths.
const maxValue = math.MaxInt32 / 2
