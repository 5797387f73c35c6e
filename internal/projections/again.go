package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/recount-ledger/recount/internal/verify"
)

// A client that does not understand a refusal sends the record again. Only the first copy is evidence. Rows of
// space w record which event holds it, so that a node can repeat the refusal at ingress without adding to the
// log.

// againRow refers to the event that holds the evidence.
type againRow struct {
	seq uint64
	at  int64 // its log time
}

func (w *againRow) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowVersion), w.seq)
	return binary.BigEndian.AppendUint64(dst, uint64(w.at))
}

func decodeAgainRow(b []byte) (*againRow, error) {
	d := &reader{b: b}
	d.check(d.u8() == rowVersion)
	w := &againRow{seq: d.u64(), at: int64(d.u64())}
	d.check(w.seq >= 1)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("evidence row: %w", err)
	}
	return w, nil
}

func againKey(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	h := sha256.Sum256(b)
	return append([]byte{spaceAgain}, h[:]...)
}

// conflictKey returns the key for a conflicting record: a hash of id, every verdict input and key id. The
// inputs include the signed values.
func (c *Prepared) conflictKey(id [32]byte) []byte {
	return againKey([]byte("conflict"), id[:], c.Inputs[:], []byte(c.Facts.KeyID))
}

// faultKey returns the key for a structurally invalid record: a hash of its bytes, because no digest covers
// what could not be read.
func (c *Prepared) faultKey(reason verify.Reason) []byte {
	return againKey([]byte(reason.String()), c.Sub.Body, []byte(c.Facts.KeyID))
}

// faulty reports whether a refusal for this reason depends on the record alone.
func faulty(reason verify.Reason) bool {
	return reason == verify.ReasonSchema || reason == verify.ReasonIDMismatch
}

// again stores this submission as evidence, or notes that it repeats earlier evidence within the TTL.
func (s *evaluation) again(key []byte) error {
	w, err := read(s.tx, key, decodeAgainRow)
	if err != nil {
		return err
	}
	if w != nil && uint64(s.it.LogTime)-uint64(w.at) <= uint64(s.policy.Policy.Params.DedupTTL) {
		s.r.AgainSeq = w.seq
		return nil
	}
	s.tx.Set(key, (&againRow{seq: s.r.Seq, at: s.r.LogTime}).append(nil))
	return nil
}

// Again returns the refusal that a submission repeats at time now (Unix nanoseconds), for the shortcut at
// ingress: a conflict, or a refusal of the record's structure. c needs Sub.Body, Rec, Facts and Verdict, and
// also Signed and Inputs unless the verdict refuses. ok is false if there is no such evidence from the last ttl
// nanoseconds. The submission must then be folded.
func Again(s Store, c *Prepared, now, ttl int64) (r Result, ok bool, err error) {
	if !c.Facts.Valid() {
		return Result{}, false, nil
	}
	if c.Verdict.Outcome == verify.Refused && c.Verdict.Reason != verify.ReasonRule {
		if !faulty(c.Verdict.Reason) {
			return Result{}, false, nil
		}
		return evidence(s, c.faultKey(c.Verdict.Reason), now, ttl)
	}
	id, err := parseHex(c.Rec.PCSID)
	if err != nil {
		return Result{}, false, nil
	}
	w, err := read(s, idKey(id), decodeIDRow)
	if err != nil || w == nil || w.signed == c.Signed {
		return Result{}, false, err
	}
	if r, ok, err = evidence(s, c.conflictKey(id), now, ttl); !ok || err != nil {
		return Result{}, false, err
	}
	first, err := readRow(s, w.judged)
	r.First = &first
	return r, err == nil, err
}

func evidence(s Store, key []byte, now, ttl int64) (r Result, ok bool, err error) {
	w, err := read(s, key, decodeAgainRow)
	if err != nil || w == nil || now-w.at > ttl {
		return Result{}, false, err
	}
	r, err = readRow(s, w.seq)
	r.AgainSeq = w.seq
	return r, err == nil, err
}
