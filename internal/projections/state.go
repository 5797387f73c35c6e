package projections

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/recount-ledger/recount/internal/verify"
)

// idRow records the occupant of a pcs_id. It is never deleted.
type idRow struct {
	first, judged  uint64 // first submission, and the one whose judgement stands
	judgedAt       int64  // log time of judged
	signed, inputs [32]byte
	outcome        verify.Outcome
	accepted       bool
	key            string
}

func (w *idRow) append(dst []byte) []byte {
	dst = append(dst, rowVersion)
	for _, n := range []uint64{w.first, w.judged, uint64(w.judgedAt)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = append(append(dst, w.signed[:]...), w.inputs[:]...)
	return append(append(dst, byte(w.outcome), boolByte(w.accepted)), w.key...)
}

func decodeIDRow(b []byte) (*idRow, error) {
	d := &reader{b: b}
	d.check(d.u8() == rowVersion)
	w := &idRow{
		first:    d.u64(),
		judged:   d.u64(),
		judgedAt: int64(d.u64()),
		signed:   d.hash(),
		inputs:   d.hash(),
		outcome:  verify.Outcome(d.u8()),
	}
	a := d.u8()
	w.accepted = a == 1
	w.key = string(d.take(len(d.b)))
	d.check(a <= 1 && (w.outcome == verify.Accepted || w.outcome == verify.Escalated))
	d.check(w.first >= 1 && w.first <= w.judged && len(w.key) <= maxKeyID)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("id row: %w", err)
	}
	return w, nil
}

// shardRow is the state of a shard. Its number is first.
type shardRow struct {
	hasMark         bool
	mark            int64
	markSeq         uint64 // event that moved the mark there, 0 for none
	root            [32]byte
	top             int64     // highest epoch of a submission that occupied its id, -1 for none
	counts          [5]uint64 // accepted, escalated, refused, conflict, replays
	first, last     uint64
	firstAt, lastAt int64
}

func (w *shardRow) append(dst []byte) []byte {
	dst = append(dst, rowVersion, boolByte(w.hasMark))
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.mark))
	dst = binary.BigEndian.AppendUint64(dst, w.markSeq)
	dst = append(dst, w.root[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.top))
	for _, n := range w.counts {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	for _, n := range []uint64{w.first, w.last, uint64(w.firstAt), uint64(w.lastAt)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func decodeShardRow(b []byte) (*shardRow, error) {
	d := &reader{b: b}
	d.check(d.u8() == rowVersion)
	has := d.u8()
	w := &shardRow{hasMark: has == 1, mark: int64(d.u64()), markSeq: d.u64(), root: d.hash(), top: int64(d.u64())}
	for i := range w.counts {
		w.counts[i] = d.u64()
	}
	w.first, w.last, w.firstAt, w.lastAt = d.u64(), d.u64(), int64(d.u64()), int64(d.u64())
	d.check(has <= 1 && w.mark >= 0 && w.first >= 1 && w.first <= w.last)
	d.check(w.hasMark == (w.markSeq != 0) && (w.hasMark || w.mark == 0 && w.root == [32]byte{}) && w.top >= -1)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("shard row: %w", err)
	}
	return w, nil
}

func (w *shardRow) public(id string) ShardRow {
	out := ShardRow{
		Shard:        id,
		HasEpoch:     w.hasMark,
		Epoch:        w.mark,
		EpochSeq:     w.markSeq,
		Accepted:     w.counts[0],
		Escalated:    w.counts[1],
		Refused:      w.counts[2],
		Conflicts:    w.counts[3],
		Replays:      w.counts[4],
		FirstSeq:     w.first,
		LastSeq:      w.last,
		FirstLogTime: w.firstAt,
		LastLogTime:  w.lastAt,
	}
	if w.hasMark {
		out.Root = hex.EncodeToString(w.root[:])
	}
	return out
}

// count adds one row to the sums.
func (w *shardRow) count(r *Result) {
	w.counts[w.sum(r)]++
	w.last, w.lastAt = r.Seq, r.LogTime
}

// uncount takes the last row from the sums. last and lastAt stay.
func (w *shardRow) uncount(r *Result) { w.counts[w.sum(r)]-- }

// sum returns the index of the sum that has a row.
func (w *shardRow) sum(r *Result) int {
	if r.Replayed {
		return len(w.counts) - 1
	}
	return int(r.Outcome) - 1
}

// epochRow is the root that an accepted submission set for (shard, epoch).
type epochRow struct {
	root [32]byte
	seq  uint64
}

func (w *epochRow) append(dst []byte) []byte {
	dst = append(append(dst, rowVersion), w.root[:]...)
	return binary.BigEndian.AppendUint64(dst, w.seq)
}

func decodeEpochRow(b []byte) (*epochRow, error) {
	d := &reader{b: b}
	d.check(d.u8() == rowVersion)
	w := &epochRow{root: d.hash(), seq: d.u64()}
	d.check(w.seq >= 1)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("epoch row: %w", err)
	}
	return w, nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// read reads and decodes a row. It returns nil if there is none.
func read[T any](s Store, key []byte, decode func([]byte) (*T, error)) (*T, error) {
	b, err := s.Get(key)
	if err != nil || b == nil {
		return nil, err
	}
	return decode(b)
}
