package projections

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/recount-ledger/recount/internal/verify"
)

// Query selects submissions. Fields with zero values select everything.
type Query struct {
	Shard string
	Key   string // key id
	// first digits of the pcs_id that a submission names, lower-case hex; refused ones are in no such index
	PCS     string
	Outcome verify.Outcome // as stored: a replay has the outcome that it repeats
	Reason  verify.Reason  // any of a submission's reasons; ReasonOK selects those without one
	Since   int64          // log time, Unix nanoseconds, inclusive
	Until   int64          // log time, Unix nanoseconds, exclusive; 0 is no bound
	FromSeq uint64         // first seq to look at (the last one, when Reverse); 0 is the beginning (the end)
	ToSeq   uint64         // last seq to look at (the first one, when Reverse); 0 is no bound
	Limit   int            // most rows to return; 0 means 100, at most 1001
	Reverse bool           // newest first

	Where  func(*Result) (bool, error) // selects rows that everything else selects; nil selects all
	Policy func([32]byte) bool         // selects by the policy that judged; nil selects all
	UpTo   uint64                      // last seq of all, whatever the direction; 0 is no bound
	// Then replaces a row by the judgement of another time, before its outcome, reasons and policy are looked
	// at. It may not change the shard, the key or the pcs_id. Nil leaves the rows as they are.
	Then func(*Result) error
}

// Page is one page of a listing. Next is the FromSeq that continues it, 0 at the end. The work for one page is
// bounded, so a page may be short or even empty and still have a Next.
type Page struct {
	Rows []Result
	Next uint64
}

// Found describes a pcs_id.
type Found struct {
	First   Result   // first submission that occupied the id
	Current Result   // the judgement that stands: First, or the last re-verification
	Seqs    []uint64 // the submissions of the id that were folded against it, ascending: the newest 1000
	More    bool     // older ones are not in Seqs
}

// ShardRow summarizes the validly signed submissions of one shard.
type ShardRow struct {
	Shard        string
	HasEpoch     bool   // an accepted submission set Epoch and Root
	Epoch        int64  // high-water mark
	EpochSeq     uint64 // event that moved it there, 0 when none
	Root         string // merkle_root of the mark, lower-case hex
	Accepted     uint64 // submissions judged, by outcome
	Escalated    uint64
	Refused      uint64
	Conflicts    uint64
	Replays      uint64 // answered with an earlier outcome
	FirstSeq     uint64
	LastSeq      uint64
	FirstLogTime int64 // Unix nanoseconds
	LastLogTime  int64
}

// Row returns the outcome of event seq. Result.Generation is 0 because rows do not know their generation. The
// error is ErrNotFound if seq is not folded yet or is an operator's event.
func Row(s Store, seq uint64) (Result, error) {
	r, err := readRow(s, seq)
	if err != nil {
		return Result{}, err
	}
	if r.JudgedSeq != 0 && r.JudgedSeq != seq {
		first, err := readRow(s, r.JudgedSeq)
		if err != nil {
			return Result{}, fmt.Errorf("event %d refers to %w", seq, err)
		}
		r.First = &first
	}
	return r, nil
}

// Lookup returns what is known of a pcs_id (64 hex digits), or ErrNotFound if nothing ever occupied it.
func Lookup(s Store, pcsID string) (Found, error) { return LookupAt(s, pcsID, Latest) }

// Standing returns the outcome that a plain replay would repeat at time now (Unix nanoseconds), for the
// shortcut at ingress. c needs only Rec, Facts and Inputs, because equal inputs have equal signed values. Facts are zero
// for a record without a signature. ok is false if the id is free, a verdict input or the key differs, the signature
// does not verify, or the TTL (nanoseconds) has passed. The submission must then be folded.
func Standing(s Store, c *Prepared, now int64, ttl int64) (r Result, ok bool, err error) {
	if c.Err != nil || !c.Facts.Valid() && c.Rec.Sig != "" || c.Verdict.Outcome == verify.Refused {
		return Result{}, false, nil
	}
	id, err := parseHex(c.Rec.PCSID)
	if err != nil {
		return Result{}, false, nil
	}
	w, err := read(s, idKey(id), decodeIDRow)
	if err != nil || w == nil {
		return Result{}, false, err
	}
	if w.inputs != c.Inputs || w.key != c.Facts.KeyID || now-w.judgedAt > ttl {
		return Result{}, false, nil
	}
	r, err = readRow(s, w.judged)
	return r, err == nil, err
}

// LastByKey returns the last submission up to event to that a key signed, or 0 if it signed none.
func LastByKey(s Store, keyID string, to uint64) (seq uint64, err error) {
	num, err := s.Get(textKey(spaceKey, keyID))
	if err != nil || num == nil {
		return 0, err
	}
	lo := append([]byte{spaceByKey}, num...)
	hi := append(binary.BigEndian.AppendUint64(bytes.Clone(lo), to), 0)
	err = s.Scan(lo, hi, true, func(k, _ []byte) bool {
		seq = seqOf(k)
		return false
	})
	return seq, err
}

// Shard summarizes one shard. It returns ErrNotFound if no submission of it was folded.
func Shard(s Store, id string) (ShardRow, error) {
	w, err := read(s, textKey(spaceShard, id), decodeShardRow)
	if err != nil {
		return ShardRow{}, err
	}
	if w == nil {
		return ShardRow{}, fmt.Errorf("shard %q: %w", id, ErrNotFound)
	}
	return w.public(id), nil
}

// Named summarizes a shard that has no validly signed submission: all submissions that name it were refused. It
// returns ErrNotFound if nothing up to event to names the shard. It counts at most 20,000 submissions, and more
// reports whether there are others.
func Named(s Store, id string, to uint64) (row ShardRow, more bool, err error) {
	row.Shard = id
	q := Query{Shard: id, Limit: maxLimit, UpTo: to}
	for looked := 0; looked < maxLook; looked += maxLimit {
		page, err := Audit(s, q)
		if err != nil {
			return row, false, err
		}
		for i := range page.Rows {
			row.see(&page.Rows[i])
		}
		if q.FromSeq = page.Next; q.FromSeq == 0 {
			break
		}
	}
	if row.FirstSeq == 0 {
		return row, false, fmt.Errorf("shard %q: %w", id, ErrNotFound)
	}
	last, err := Audit(s, Query{Shard: id, Limit: 1, Reverse: true, UpTo: to})
	if err == nil && len(last.Rows) == 1 {
		row.LastSeq, row.LastLogTime = last.Rows[0].Seq, last.Rows[0].LogTime
	}
	return row, q.FromSeq != 0, err
}

// see counts a submission.
func (w *ShardRow) see(r *Result) {
	if w.FirstSeq == 0 {
		w.FirstSeq, w.FirstLogTime = r.Seq, r.LogTime
	}
	w.LastSeq, w.LastLogTime = r.Seq, r.LogTime
	switch r.Outcome {
	case verify.Accepted:
		w.Accepted++
	case verify.Escalated:
		w.Escalated++
	case verify.Refused:
		w.Refused++
	case verify.Conflict:
		w.Conflicts++
	}
}

// Shards lists shards in byte order of their ids, starting behind after. next continues the list and is "" at
// its end.
func Shards(s Store, after string, limit int) (rows []ShardRow, next string, err error) {
	return ShardsAt(s, after, limit, Latest)
}

// DigestAt returns the running digest after event seq: the last checkpoint, extended by the rows since. It is
// zero for seq 0.
func DigestAt(s Store, seq uint64) ([32]byte, error) {
	var d [32]byte
	from := seq / digestEvery * digestEvery
	if from > 0 {
		b, err := s.Get(digestKey(from))
		if err != nil {
			return d, err
		}
		if b == nil {
			return d, fmt.Errorf("digest of event %d: %w", from, ErrNotFound)
		}
		if len(b) != 32 {
			return d, fmt.Errorf("digest of event %d: %w", from, ErrCorrupt)
		}
		d = [32]byte(b)
	}
	at, failed := from, error(nil)
	err := s.Scan(rowKey(from+1), append(rowKey(seq), 0), false, func(k, v []byte) bool {
		h, err := rowHash(seqOf(k), v)
		if err != nil || seqOf(k) != at+1 {
			failed = fmt.Errorf("row after event %d: %w", at, ErrCorrupt)
			return false
		}
		d, at = chain(d, h), at+1
		return true
	})
	if err == nil {
		err = failed
	}
	if err == nil && at != seq {
		err = fmt.Errorf("event %d: %w", at+1, ErrNotFound)
	}
	if err != nil {
		return [32]byte{}, err
	}
	return d, nil
}

// readRow reads the outcome row of event seq and the id of its policy.
func readRow(s Store, seq uint64) (Result, error) {
	b, err := s.Get(rowKey(seq))
	if err != nil {
		return Result{}, err
	}
	if b == nil {
		return Result{}, fmt.Errorf("event %d: %w", seq, ErrNotFound)
	}
	rows := rowReader{s: s}
	return rows.decode(seq, b)
}

// rowReader decodes outcome rows and keeps the policy of the last one, because neighbours tend to have the same.
type rowReader struct {
	s      Store
	since  uint64 // the event that put policy in force, 0 at first
	policy [32]byte
}

// decode decodes the outcome row of event seq and finds the id of its policy.
func (p *rowReader) decode(seq uint64, row []byte) (Result, error) {
	r, _, err := decodeRow(seq, row)
	if err != nil {
		return Result{}, err
	}
	if p.since == 0 || p.since != r.policySeq {
		id, err := p.s.Get(numKey(spacePolicy, r.policySeq))
		if err != nil {
			return Result{}, err
		}
		if len(id) != 32 {
			return Result{}, fmt.Errorf("policy of event %d: %w", seq, ErrCorrupt)
		}
		p.since, p.policy = r.policySeq, [32]byte(id)
	}
	r.Policy = p.policy
	return r, nil
}
