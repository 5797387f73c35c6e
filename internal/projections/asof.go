package projections

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Rows of a generation as of an earlier event. A row of space r never changes, and those of ids and shards follow from
// the rows r before them. So the state after any event can be read from the state of now, with bounded work.

// ErrFar means that a state of an earlier event follows from more rows than one read looks at.
var ErrFar = errors.New("projections: too many rows lie between this event and what is known without them")

// maxFar is the number of rows that the state of one shard or id is read from.
const maxFar = 5 * maxLook

// Latest is the event as of which everything that is folded counts.
const Latest = ^uint64(0)

// LookupAt returns what Lookup returned after event seq.
func LookupAt(s Store, pcsID string, seq uint64) (Found, error) {
	id, err := parseHex(pcsID)
	if err != nil {
		return Found{}, fmt.Errorf("pcs_id: %w", ErrNotFound)
	}
	w, err := read(s, idKey(id), decodeIDRow)
	if err != nil {
		return Found{}, err
	}
	if w == nil || w.first > seq {
		return Found{}, fmt.Errorf("pcs_id %s: %w", pcsID, ErrNotFound)
	}
	judged, err := w.judgedAfter(s, id, seq)
	if err != nil {
		return Found{}, err
	}
	f := Found{}
	if f.First, err = readRow(s, w.first); err != nil {
		return Found{}, err
	}
	if f.Current = f.First; judged != w.first {
		if f.Current, err = readRow(s, judged); err != nil {
			return Found{}, err
		}
	}
	f.Seqs, err = w.newest(s, id, seq, maxLimit+1)
	if f.More = len(f.Seqs) > maxLimit; f.More {
		f.Seqs = f.Seqs[1:]
	}
	return f, err
}

// scanSame calls fn for the later submissions of an id, up to event seq.
func scanSame(s Store, id [32]byte, seq uint64, reverse bool, fn func(seq uint64) bool) error {
	return s.Scan(sameKey(id, 0), append(sameKey(id, seq), 0), reverse, func(k, _ []byte) bool { return fn(seqOf(k)) })
}

// judgedAfter returns the submission whose judgement stood after event seq, which does not come before the first one.
// The last submission up to there names it, unless it was judged again and refused.
func (w *idRow) judgedAfter(s Store, id [32]byte, seq uint64) (uint64, error) {
	if w.judged <= seq {
		return w.judged, nil
	}
	judged, looked, failed := w.first, 0, error(nil)
	err := scanSame(s, id, seq, true, func(seq uint64) bool {
		if looked++; looked > maxFar {
			failed = ErrFar
			return false
		}
		var r Result
		if r, failed = readRow(s, seq); failed != nil {
			return false
		}
		if r.Occupied || r.JudgedSeq != r.Seq {
			judged = r.JudgedSeq
			return false
		}
		return true
	})
	return judged, errors.Join(err, failed)
}

// NewestOf lists the last submissions of a pcs_id up to event seq, ascending, at most limit.
func NewestOf(s Store, pcsID string, seq uint64, limit int) ([]uint64, error) {
	id, err := parseHex(pcsID)
	if err != nil {
		return nil, nil
	}
	w, err := read(s, idKey(id), decodeIDRow)
	if err != nil || w == nil || w.first > seq {
		return nil, err
	}
	return w.newest(s, id, seq, limit)
}

// newest lists the last submissions of an id up to event seq, ascending, at most limit.
func (w *idRow) newest(s Store, id [32]byte, seq uint64, limit int) (out []uint64, err error) {
	err = scanSame(s, id, seq, true, func(seq uint64) bool {
		out = append(out, seq)
		return len(out) < limit
	})
	if len(out) < limit {
		out = append(out, w.first)
	}
	slices.Reverse(out)
	return out, err
}

// LogTimeAt returns the log time of event seq, 0 for the last one that is folded. It is 0 before the first event.
func LogTimeAt(s Store, seq uint64) (int64, error) {
	if seq == 0 {
		p, err := ReadPosition(s)
		return p.LogTime, err
	}
	b, err := s.Get(rowKey(seq))
	if err != nil {
		return 0, err
	}
	_, at, err := rowKind(b)
	return at, err
}

// ShardAt returns what Shard returned after event seq. It is ErrFar if that takes too many rows.
func ShardAt(s Store, id string, seq uint64) (ShardRow, error) {
	w, err := read(s, textKey(spaceShard, id), decodeShardRow)
	if err != nil {
		return ShardRow{}, err
	}
	if w == nil || w.first > seq {
		return ShardRow{}, fmt.Errorf("shard %q: %w", id, ErrNotFound)
	}
	looked := 0
	if err := w.goBack(s, id, seq, &looked); err != nil {
		return ShardRow{}, err
	}
	return w.public(id), nil
}

// ShardsAt returns what Shards returned after event seq. The work for one list is bounded, so it may be short or even
// empty and still have a next.
func ShardsAt(s Store, after string, limit int, seq uint64) (rows []ShardRow, next string, err error) {
	return shardsWithin(s, after, clampLimit(limit), seq, maxLook)
}

// shardsWithin ends the list behind the shard with which it has looked at more rows than most.
func shardsWithin(s Store, after string, limit int, seq uint64, most int) (rows []ShardRow, next string, err error) {
	all, next, err := shardRows(s, after, limit)
	if err != nil {
		return nil, "", err
	}
	looked := 0
	for i, n := range all {
		if n.row.first > seq {
			continue
		}
		if err := n.row.goBack(s, n.id, seq, &looked); err != nil {
			return nil, "", err
		}
		if rows = append(rows, n.row.public(n.id)); looked > most && i < len(all)-1 {
			return rows, n.id, nil
		}
	}
	return rows, next, nil
}

// namedRow is the row of a shard.
type namedRow struct {
	id  string
	row *shardRow
}

// shardRows lists the rows of shards in byte order of their ids, starting behind after.
func shardRows(s Store, after string, limit int) (rows []namedRow, next string, err error) {
	lo := textKey(spaceShard, after)
	if after != "" {
		lo = append(lo, 0)
	}
	var failed error
	err = s.Scan(lo, []byte{spaceShard + 1}, false, func(k, v []byte) bool {
		if len(rows) == limit {
			next = rows[limit-1].id
			return false
		}
		var w *shardRow
		if w, failed = decodeShardRow(v); failed != nil {
			return false
		}
		rows = append(rows, namedRow{string(k[1:]), w})
		return true
	})
	return rows, next, errors.Join(err, failed)
}

// goBack turns the row of a shard into the one after event seq, which does not come before its first submission. It
// takes back what came later, or counts again what came before, whichever should be less. It adds the rows that it
// looked at to looked.
func (w *shardRow) goBack(s Store, id string, seq uint64, looked *int) error {
	if w.last <= seq {
		return nil
	}
	if seq-w.first < w.last-seq {
		return w.countTo(s, id, seq, looked)
	}
	return w.takeBack(s, id, seq, looked)
}

// countTo counts the submissions up to event seq.
func (w *shardRow) countTo(s Store, id string, seq uint64, looked *int) error {
	first, firstAt := w.first, w.firstAt
	*w = shardRow{first: first, firstAt: firstAt, top: -1}
	return w.eachCounted(s, id, first, seq, false, looked, func(r *Result) (bool, error) {
		w.count(r)
		if r.Occupied {
			w.top = max(w.top, r.Epoch)
		}
		if !r.MovedMark {
			return true, nil
		}
		root, err := parseHex(r.MerkleRoot)
		w.hasMark, w.mark, w.markSeq, w.root = true, r.Epoch, r.Seq, root
		return true, err
	})
}

// takeBack takes back the submissions after event seq, the last one first. The top of the shard stays.
func (w *shardRow) takeBack(s Store, id string, seq uint64, looked *int) error {
	moved := false
	err := w.eachCounted(s, id, w.first, w.last, true, looked, func(r *Result) (bool, error) {
		if r.Seq <= seq {
			w.last, w.lastAt = r.Seq, r.LogTime
			return false, nil
		}
		w.uncount(r)
		if r.MovedMark {
			moved, w.hasMark, w.mark = true, r.HadMark, r.MarkBefore
		}
		return true, nil
	})
	if err != nil || !moved {
		return err
	}
	if w.markSeq, w.root = 0, [32]byte{}; !w.hasMark {
		return nil
	}
	e, err := read(s, numKey(spaceEpoch, w.first, uint64(w.mark)), decodeEpochRow)
	if err == nil && e == nil {
		err = fmt.Errorf("epoch %d of shard %q: %w", w.mark, id, ErrCorrupt)
	}
	if err != nil {
		return err
	}
	w.markSeq, w.root = e.seq, e.root
	return nil
}

// eachCounted calls fn for the submissions of lo..hi that the row of the shard counts, until fn returns false.
func (w *shardRow) eachCounted(s Store, id string, lo, hi uint64, reverse bool, looked *int,
	fn func(*Result) (bool, error)) error {
	prefix, rows, own, failed := byShard(id), rowReader{s: s}, 0, error(nil)
	at := func(seq uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(prefix), seq) }
	err := s.Scan(at(lo), append(at(hi), 0), reverse, func(k, _ []byte) bool {
		*looked++
		if own++; own > maxFar {
			failed = fmt.Errorf("shard %q: %w", id, ErrFar)
			return false
		}
		var row []byte
		var r Result
		if row, failed = s.Get(rowKey(seqOf(k))); failed != nil {
			return false
		}
		if r, failed = rows.decode(seqOf(k), row); failed != nil || r.ShardID != id || !w.includes(&r) {
			return failed == nil
		}
		var more bool
		more, failed = fn(&r)
		return more && failed == nil
	})
	return errors.Join(err, failed)
}

// includes reports whether the row of the shard counts a submission that names the shard: one that passed validation,
// or a later one that a registered key signed.
func (w *shardRow) includes(r *Result) bool { return r.HasBudget || r.KeyID != "" && r.Seq > w.first }
