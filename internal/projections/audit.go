package projections

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// Bounds of one page.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxLook      = 20_000 // rows read for one page
)

func clampLimit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit+1) // one more shows a caller whether there is more
}

// Audit lists submissions by seq, up to the position row of s.
func Audit(s Store, q Query) (Page, error) {
	lo, hi, err := q.bounds(s)
	if err != nil || lo > hi {
		return Page{}, err
	}
	space, none, err := q.index(s)
	if err != nil || none {
		return Page{}, err
	}
	return q.collect(s, space, lo, hi)
}

// bounds returns the first and last seq that q can select.
func (q *Query) bounds(s Store) (lo, hi uint64, err error) {
	p, err := ReadPosition(s)
	if err != nil {
		return 1, 0, err
	}
	lo, hi = 1, p.Seq
	if q.Since > 0 {
		if lo, err = SeqAt(s, q.Since); err != nil {
			return 1, 0, err
		}
	}
	if q.Until != 0 {
		end, err := SeqAt(s, q.Until)
		if err != nil {
			return 1, 0, err
		}
		hi = min(hi, end-1)
	}
	if q.UpTo != 0 {
		hi = min(hi, q.UpTo)
	}
	first, last := q.FromSeq, q.ToSeq
	if q.Reverse {
		first, last = last, first
	}
	if last != 0 {
		hi = min(hi, last)
	}
	return max(lo, first), hi, nil
}

// SeqAt returns the first event with log time t or later, or one past the last event if there is none. It uses
// binary search.
func SeqAt(s Store, t int64) (uint64, error) {
	p, err := ReadPosition(s)
	if err != nil {
		return 0, err
	}
	lo, hi := uint64(1), p.Seq+1
	for lo < hi {
		mid := lo + (hi-lo)/2
		b, err := s.Get(rowKey(mid))
		if err != nil {
			return 0, err
		}
		_, at, err := rowKind(b)
		if err != nil {
			return 0, fmt.Errorf("event %d: %w", mid, err)
		}
		if at < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// index selects the index to walk and returns the prefix of its keys, which end in seq. none means that nothing
// can match.
func (q *Query) index(s Store) (prefix []byte, none bool, err error) {
	switch {
	case q.Shard != "":
		return byShard(q.Shard), false, nil
	case q.Key != "":
		b, err := s.Get(textKey(spaceKey, q.Key))
		if err != nil || b == nil {
			return nil, true, err
		}
		return append([]byte{spaceByKey}, b...), false, nil
	case q.Then != nil: // the other indexes have the rows of another time
	case q.Reason > verify.ReasonOK:
		return []byte{spaceByReason, byte(q.Reason)}, false, nil
	case q.Outcome > verify.Accepted:
		return []byte{spaceByResult, byte(q.Outcome)}, false, nil
	}
	return []byte{spaceRow}, false, nil
}

func (q *Query) collect(s Store, prefix []byte, lo, hi uint64) (Page, error) {
	page, rows := Page{}, rowReader{s: s}
	limit, looked, failed := clampLimit(q.Limit), 0, error(nil)
	at := func(seq uint64) []byte {
		return binary.BigEndian.AppendUint64(append(make([]byte, 0, len(prefix)+9), prefix...), seq)
	}
	err := s.Scan(at(lo), append(at(hi), 0), q.Reverse, func(k, row []byte) bool {
		seq := seqOf(k)
		if len(page.Rows) == limit || looked == maxLook {
			page.Next = seq
			return false
		}
		looked++
		if prefix[0] != spaceRow {
			if row, failed = s.Get(rowKey(seq)); failed != nil {
				return false
			}
		}
		if page.Rows == nil {
			page.Rows = make([]Result, 0, min(uint64(limit), hi-lo+1))
		}
		failed = q.add(&rows, &page, seq, row)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

// add appends the row of seq if it is a submission that q selects.
func (q *Query) add(rows *rowReader, page *Page, seq uint64, row []byte) error {
	if k, _, err := rowKind(row); err != nil || k != event.Submission {
		return err
	}
	r, err := rows.decode(seq, row)
	if err != nil || !q.about(&r) {
		return err
	}
	if q.Then != nil {
		if err := q.Then(&r); err != nil {
			return err
		}
	}
	ok := q.matches(&r)
	if ok && q.Where != nil {
		ok, err = q.Where(&r)
	}
	if ok && err == nil {
		page.Rows = append(page.Rows, r)
	}
	return err
}

// about reports whether a row has the shard, key and pcs_id that q asks for.
func (q *Query) about(r *Result) bool {
	return (q.Shard == "" || r.ShardID == q.Shard) && (q.Key == "" || r.KeyID == q.Key) &&
		strings.HasPrefix(r.PCSID, q.PCS)
}

func (q *Query) matches(r *Result) bool {
	if !q.about(r) || q.Outcome != 0 && r.Outcome != q.Outcome || q.Policy != nil && !q.Policy(r.Policy) {
		return false
	}
	if q.Reason == verify.ReasonOK {
		return len(r.Reasons) == 0
	}
	if q.Reason == 0 {
		return true
	}
	for _, x := range r.Reasons {
		if x == q.Reason {
			return true
		}
	}
	return false
}
