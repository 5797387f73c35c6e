package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// A Flip is a submission that two generations judge differently: its outcome or its accepted flag differs.
type Flip struct {
	Seq         uint64
	Direct      bool   // its own verdict changed; otherwise the change of another submission caused it
	CausedBySeq uint64 // for an indirect flip, the submission whose change caused it, 0 if not known
	Old, New    Result
	Digest      [32]byte // running digest of the flips up to this one
}

// FlipSums counts flips. Maps are keyed by outcomes ("accepted->refused"), reason codes and ids.
type FlipSums struct {
	Flips, Direct, Indirect, First, Last uint64
	ByOutcome, ByReason, ByShard, ByKey  map[string]int
}

// DiffPosition records how far a generation is compared with another one. It is written in the same step as its
// flips.
type DiffPosition struct {
	Against uint32
	Seq     uint64   // last event compared
	Flips   uint64   // up to it
	Digest  [32]byte // running digest of them, zero before the first
}

// Key spaces of a comparison, in the store of the newer generation.
const (
	spaceFlip = 'f' // seq u64: flip row
	spaceDiff = 'F' // nothing: the position of the comparison
)

// WriteDiffPosition writes the position row of a comparison.
func WriteDiffPosition(tx Tx, p DiffPosition) {
	b := binary.BigEndian.AppendUint32([]byte{rowVersion}, p.Against)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Seq), p.Flips)
	tx.Set([]byte{spaceDiff}, append(b, p.Digest[:]...))
}

// ReadDiffPosition reads the position row of a comparison. Without a row it returns the zero position.
func ReadDiffPosition(s Store) (DiffPosition, error) {
	b, err := s.Get([]byte{spaceDiff})
	if err != nil || b == nil {
		return DiffPosition{}, err
	}
	if len(b) != 1+4+8+8+32 || b[0] != rowVersion {
		return DiffPosition{}, fmt.Errorf("position of the comparison: %w", ErrCorrupt)
	}
	return DiffPosition{Against: binary.BigEndian.Uint32(b[1:]), Seq: binary.BigEndian.Uint64(b[5:]),
		Flips: binary.BigEndian.Uint64(b[13:]), Digest: [32]byte(b[21:])}, nil
}

// FlipRange returns the range of keys, excluding its end, that holds the flips of a comparison.
func FlipRange() (lo, hi []byte) { return []byte{spaceFlip}, []byte{spaceFlip + 1} }

// Differing lists the submissions from <= seq <= to whose rows differ between two generations. Both must be
// folded up to to.
func Differing(old, new Store, from, to uint64) ([]uint64, error) {
	a, err := outcomesOf(old, from, to)
	if err != nil {
		return nil, err
	}
	b, err := outcomesOf(new, from, to)
	if err != nil {
		return nil, err
	}
	if len(a) != len(b) || uint64(len(a)) != to-from+1 {
		return nil, fmt.Errorf("compare events %d to %d: %d and %d rows: %w", from, to, len(a), len(b), ErrCorrupt)
	}
	var out []uint64
	for i := range a {
		if a[i] != b[i] {
			out = append(out, from+uint64(i))
		}
	}
	return out, nil
}

// outcomesOf returns outcome and accepted flag of consecutive events, zero for operators' events.
func outcomesOf(s Store, from, to uint64) ([]uint16, error) {
	out := make([]uint16, 0, to-from+1)
	var failed error
	err := s.Scan(rowKey(from), append(rowKey(to), 0), false, func(k, v []byte) bool {
		kind, _, err := rowKind(v)
		if err != nil || seqOf(k) != from+uint64(len(out)) || kind == event.Submission && len(v) < rowHead+3 {
			failed = fmt.Errorf("row of event %d: %w", seqOf(k), ErrCorrupt)
			return false
		}
		var x uint16
		if kind == event.Submission {
			x = uint16(v[rowHead+2])<<8 | binary.BigEndian.Uint16(v[rowHead:])&flagAccepted
		}
		out = append(out, x)
		return true
	})
	if err == nil {
		err = failed
	}
	return out, err
}

// NewFlip describes the flip of event seq. it is that event, and the views belong to the generations in the
// stores.
func NewFlip(seq uint64, it *Item, old, new Store, oldView, newView ControlView) (Flip, error) {
	f := Flip{Seq: seq}
	var err error
	if f.Old, err = readRow(old, seq); err != nil {
		return f, err
	}
	if f.New, err = readRow(new, seq); err != nil {
		return f, err
	}
	if f.Direct, err = verdictsDiffer(it, oldView, newView); err != nil {
		return f, err
	}
	if !f.Direct {
		if f.CausedBySeq = f.Old.CausedBySeq; f.CausedBySeq == 0 {
			f.CausedBySeq = f.New.CausedBySeq
		}
	}
	return f, nil
}

// verdictsDiffer compares the verdicts on a submission under both schedules, without any history.
func verdictsDiffer(it *Item, oldView, newView ControlView) (bool, error) {
	own := func(view ControlView) (verify.Verdict, bool, error) {
		c := *it
		c.Prepared = nil
		Prepare(&c, nil, view)
		if c.Prepared.Err != nil {
			return verify.Verdict{}, false, fmt.Errorf("event %d: %w: %w", it.Seq, ErrBadEvent, c.Prepared.Err)
		}
		f := c.Prepared.Facts
		return c.Prepared.Verdict, f.Valid() && view.Revoked(f.KeyID, it.Seq, it.LogTime), nil
	}
	a, goneA, err := own(oldView)
	if err != nil {
		return false, err
	}
	b, goneB, err := own(newView)
	if err != nil {
		return false, err
	}
	return goneA != goneB || a.Outcome != b.Outcome || a.Accepted != b.Accepted || a.RuleReason != b.RuleReason ||
		!slices.Equal(a.Reasons, b.Reasons), nil
}

// Append encodes a flip: version u8, direct u8, caused by seq u64, then for the old and the new side the policy id 32,
// the length of the outcome row u32 and the row, and last the running digest 32.
func (f *Flip) Append(dst []byte) []byte {
	dst = f.appendFacts(dst, true)
	return append(dst, f.Digest[:]...)
}

// appendFacts encodes all but the digest. No digest covers the sentences about the reasons, because their
// wording may change.
func (f *Flip) appendFacts(dst []byte, sentences bool) []byte {
	dst = append(dst, rowVersion, boolByte(f.Direct))
	dst = binary.BigEndian.AppendUint64(dst, f.CausedBySeq)
	for _, r := range []*Result{&f.Old, &f.New} {
		row := r.appendCore(nil)
		if sentences {
			row = r.appendTail(row)
		}
		dst = append(dst, r.Policy[:]...)
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(row))), row...)
	}
	return dst
}

// Chain sets the running digest: SHA-256 of the previous digest, the seq and the encoded flip without digest
// and sentences.
func (f *Flip) Chain(before [32]byte) {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, 1024), before[:]...), f.Seq)
	f.Digest = sha256.Sum256(f.appendFacts(b, false))
}

// DecodeFlip decodes the flip of event seq.
func DecodeFlip(seq uint64, b []byte) (Flip, error) {
	f := Flip{Seq: seq}
	d := &reader{b: b}
	d.check(d.u8() == rowVersion)
	direct := d.u8()
	f.Direct, f.CausedBySeq = direct == 1, d.u64()
	d.check(direct <= 1)
	for _, r := range []*Result{&f.Old, &f.New} {
		policy := d.hash()
		row := d.take(4)
		if !d.bad {
			row = d.take(int(binary.BigEndian.Uint32(row)))
		}
		if d.bad {
			return f, fmt.Errorf("flip of event %d: %w", seq, ErrCorrupt)
		}
		var err error
		if *r, _, err = decodeRow(seq, row); err != nil {
			return f, err
		}
		r.Policy = policy
	}
	f.Digest = d.hash()
	if err := d.done(); err != nil {
		return f, fmt.Errorf("flip of event %d: %w", seq, err)
	}
	return f, nil
}

// SetFlip writes the row of a flip.
func SetFlip(tx Tx, f *Flip) { tx.Set(numKey(spaceFlip, f.Seq), f.Append(nil)) }

// EachFlip calls fn for the flips from <= seq <= to until it returns false.
func EachFlip(s Store, from, to uint64, fn func(*Flip) bool) error {
	var failed error
	err := s.Scan(numKey(spaceFlip, from), append(numKey(spaceFlip, to), 0), false, func(k, v []byte) bool {
		f, err := DecodeFlip(seqOf(k), v)
		if failed = err; err != nil {
			return false
		}
		return fn(&f)
	})
	if err == nil {
		err = failed
	}
	return err
}

// FlipDigestAt returns the running digest of the flips up to event seq, zero if there are none.
func FlipDigestAt(s Store, seq uint64) (digest [32]byte, err error) {
	var failed error
	err = s.Scan(numKey(spaceFlip, 0), append(numKey(spaceFlip, seq), 0), true, func(k, v []byte) bool {
		if len(v) < len(digest) {
			failed = fmt.Errorf("flip of event %d: %w", seqOf(k), ErrCorrupt)
			return false
		}
		digest = [32]byte(v[len(v)-len(digest):])
		return false
	})
	if err == nil {
		err = failed
	}
	return digest, err
}

// DiffDigest returns the digest of a whole comparison: both generations, the position, the digests of both
// folds there and the running digest of the flips.
func DiffDigest(old, new uint32, position uint64, oldState, newState, flips [32]byte) [32]byte {
	b := binary.BigEndian.AppendUint32(append(make([]byte, 0, 160), "recount/diff/1"...), old)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, new), position)
	b = append(append(append(b, oldState[:]...), newState[:]...), flips[:]...)
	return sha256.Sum256(b)
}

// Clone returns a copy of the sums.
func (s *FlipSums) Clone() *FlipSums {
	out := *s
	out.ByOutcome, out.ByReason, out.ByShard, out.ByKey = maps.Clone(s.ByOutcome), maps.Clone(s.ByReason),
		maps.Clone(s.ByShard), maps.Clone(s.ByKey)
	return &out
}

// NewFlipSums returns empty sums.
func NewFlipSums() *FlipSums {
	return &FlipSums{
		ByOutcome: map[string]int{},
		ByReason:  map[string]int{},
		ByShard:   map[string]int{},
		ByKey:     map[string]int{},
	}
}

// Add counts a flip.
func (s *FlipSums) Add(f *Flip) {
	s.Flips++
	if f.Direct {
		s.Direct++
	} else {
		s.Indirect++
	}
	if s.First == 0 {
		s.First = f.Seq
	}
	s.Last = f.Seq
	s.ByOutcome[f.Old.Outcome.String()+"->"+f.New.Outcome.String()]++
	s.ByReason[f.New.ReasonCode()]++
	s.ByShard[f.New.ShardID]++
	s.ByKey[f.New.KeyID]++
}

// CheckFlips recomputes the running digest of the flips after event after, where it had the value before, up to
// event to. Each flip holds the digest up to it, so missing or changed flips give ErrCorrupt.
func CheckFlips(s Store, after, to uint64, before [32]byte) (digest [32]byte, flips uint64, err error) {
	digest = before
	var failed error
	err = EachFlip(s, after+1, to, func(f *Flip) bool {
		kept := f.Digest
		if f.Chain(digest); f.Digest != kept {
			failed = fmt.Errorf("flip of event %d does not follow from those before it: %w", f.Seq, ErrCorrupt)
		}
		digest, flips = f.Digest, flips+1
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return digest, flips, err
}
