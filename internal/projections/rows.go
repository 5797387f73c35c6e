package projections

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
)

// rowVersion is the first byte of every row of a generation. Version 1 had no digest of the rows written beside
// an outcome.
const rowVersion = 2

// Bounds of a row's variable parts.
const (
	maxReasons = 32
	maxKeyID   = 64
	maxRule    = 64
	maxDetail  = 4096
	maxNode    = 255
)

// Flags of an outcome row. Bits not named are zero.
const (
	flagAccepted = 1 << iota
	flagReplayed
	flagReverified
	flagEvidence
	flagIdentity
	flagDHat
	flagBudget
	flagOccupied
	flagHadMark
	flagMovedMark
	flagRegistered
	flagRule
	flagsEnd
)

// rowHead is version u8, kind u16, log time i64.
const rowHead = 1 + 2 + 8

func appendHead(dst []byte, k event.Kind, logTime int64) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, rowVersion), uint16(k))
	return binary.BigEndian.AppendUint64(dst, uint64(logTime))
}

// appendOperatorRow appends the row of an event that is not a submission: head, leaf hash.
func appendOperatorRow(dst []byte, it *Item, leaf [32]byte) []byte {
	return append(appendHead(dst, it.Kind, it.LogTime), leaf[:]...)
}

func (r *Result) flags() uint16 {
	var f uint16
	for _, b := range []struct {
		on  bool
		bit uint16
	}{
		{r.Accepted, flagAccepted}, {r.Replayed, flagReplayed}, {r.Reverified, flagReverified},
		{r.Evidence, flagEvidence},
		{r.PCSID != "", flagIdentity}, {r.HasDHat, flagDHat}, {r.HasBudget, flagBudget}, {r.Occupied, flagOccupied},
		{r.HadMark, flagHadMark}, {r.MovedMark, flagMovedMark}, {r.Registered, flagRegistered},
		{r.RuleReason != "", flagRule},
	} {
		if b.on {
			f |= b.bit
		}
	}
	return f
}

// appendCore appends the part of an outcome row that the digest covers.
func (r *Result) appendCore(dst []byte) []byte {
	dst = appendHead(dst, event.Submission, r.LogTime)
	dst = binary.BigEndian.AppendUint16(dst, r.flags())
	dst = append(dst, byte(r.Outcome), byte(len(r.Reasons)))
	for _, x := range r.Reasons {
		dst = append(dst, byte(x))
	}
	dst = binary.AppendVarint(dst, r.ReceivedAt-r.LogTime)
	dst = binary.AppendUvarint(dst, r.policySeq)
	if r.RuleReason != "" {
		dst = append(append(dst, byte(len(r.RuleReason))), r.RuleReason...)
	}
	dst = append(append(dst, byte(len(r.KeyID))), r.KeyID...)
	if r.KeyID != "" {
		dst = append(dst, byte(r.Facts.Alg), byte(r.Facts.Profile), byte(r.Facts.Mode))
	}
	if r.PCSID != "" {
		dst = appendHex(appendHex(dst, r.PCSID), r.MerkleRoot)
		dst = binary.AppendUvarint(dst, uint64(r.Epoch))
		dst = append(binary.AppendUvarint(dst, uint64(len(r.ShardID))), r.ShardID...)
	}
	if r.HasDHat {
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(r.DHatLower)), int64(r.DHat))
	}
	if r.HasBudget {
		dst = binary.AppendVarint(dst, int64(r.Budget))
	}
	dst = appendBack(appendBack(appendBack(dst, r.Seq, r.FirstSeq), r.Seq, r.JudgedSeq), r.Seq, r.CausedBySeq)
	if r.HadMark {
		dst = binary.AppendUvarint(dst, uint64(r.MarkBefore))
	}
	return append(dst, r.wrote[:]...)
}

// appendTail appends the part of an outcome row that the digest leaves out: the node, then the detail to the end.
func (r *Result) appendTail(dst []byte) []byte {
	dst = append(append(dst, byte(len(r.Node))), r.Node...)
	return append(dst, r.Detail...)
}

// appendBack appends a reference to an event not after seq: 0 for none, else 1 + distance.
func appendBack(dst []byte, seq, ref uint64) []byte {
	if ref == 0 {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, 1+seq-ref)
}

// appendHex appends the 32 bytes that 64 checked hex digits stand for.
func appendHex(dst []byte, s string) []byte {
	b, err := parseHex(s)
	if err != nil {
		panic("projections: identity was not checked: " + err.Error())
	}
	return append(dst, b[:]...)
}

func parseHex(s string) (out [32]byte, err error) {
	if len(s) != 64 {
		return out, fmt.Errorf("%d hex digits: %w", len(s), ErrNotFound)
	}
	var digits [64]byte // a conversion would allocate
	copy(digits[:], s)
	_, err = hex.Decode(out[:], digits[:])
	return out, err
}

// hexText returns a hash in lower-case hex.
func hexText(h [32]byte) string {
	var b [64]byte
	hex.Encode(b[:], h[:])
	return string(b[:])
}

// rowKind reads the head of a row.
func rowKind(b []byte) (event.Kind, int64, error) {
	if len(b) < rowHead || b[0] != rowVersion {
		return 0, 0, fmt.Errorf("row head: %w", ErrCorrupt)
	}
	k := event.Kind(binary.BigEndian.Uint16(b[1:]))
	if !k.Known() {
		return 0, 0, fmt.Errorf("row of kind %d: %w", k, ErrCorrupt)
	}
	return k, int64(binary.BigEndian.Uint64(b[3:])), nil
}

// rowHash returns the hash with which the row of event seq extends the chain.
func rowHash(seq uint64, b []byte) ([32]byte, error) {
	k, _, err := rowKind(b)
	if err != nil {
		return [32]byte{}, err
	}
	if k != event.Submission {
		if len(b) != rowHead+32 {
			return [32]byte{}, fmt.Errorf("operator row: %w", ErrCorrupt)
		}
		return [32]byte(b[rowHead:]), nil
	}
	_, core, err := decodeRow(seq, b)
	if err != nil {
		return [32]byte{}, err
	}
	return sum(b[:core]), nil
}

// decodeRow reads the outcome row of event seq and the length of its core.
func decodeRow(seq uint64, b []byte) (r Result, core int, err error) {
	k, logTime, err := rowKind(b)
	if err != nil {
		return r, 0, err
	}
	if k != event.Submission {
		return r, 0, fmt.Errorf("event %d is a %s: %w", seq, k, ErrNotFound)
	}
	d := &reader{b: b[rowHead:]}
	r.Seq, r.LogTime = seq, logTime
	f := d.u16()
	d.check(f < flagsEnd)
	r.setFlags(f)
	r.readOutcome(d, f)
	if f&flagIdentity != 0 {
		r.readIdentity(d)
	}
	if f&flagDHat != 0 {
		r.DHatLower, r.DHat = nano.Nano(d.varint()), nano.Nano(d.varint())
	}
	if f&flagBudget != 0 {
		r.Budget = nano.Nano(d.varint())
	}
	r.FirstSeq, r.JudgedSeq, r.CausedBySeq = d.back(seq), d.back(seq), d.back(seq)
	if f&flagHadMark != 0 {
		r.MarkBefore = int64(d.uvarint())
		d.check(r.MarkBefore >= 0)
	}
	r.wrote = d.hash()
	core = len(b) - len(d.b)
	r.Node = string(d.take(int(d.u8())))
	d.check(utf8.ValidString(r.Node))
	d.check(len(d.b) <= maxDetail && utf8.Valid(d.b))
	r.Detail = string(d.b)
	if d.bad {
		return Result{}, 0, fmt.Errorf("outcome row of event %d: %w", seq, ErrCorrupt)
	}
	return r, core, nil
}

func (r *Result) setFlags(f uint16) {
	r.Accepted, r.Replayed, r.Reverified = f&flagAccepted != 0, f&flagReplayed != 0, f&flagReverified != 0
	r.Evidence, r.HasDHat, r.HasBudget = f&flagEvidence != 0, f&flagDHat != 0, f&flagBudget != 0
	r.Occupied, r.HadMark = f&flagOccupied != 0, f&flagHadMark != 0
	r.MovedMark, r.Registered = f&flagMovedMark != 0, f&flagRegistered != 0
}

func (r *Result) readOutcome(d *reader, f uint16) {
	r.Outcome = verify.Outcome(d.u8())
	d.check(r.Outcome >= verify.Accepted && r.Outcome <= verify.Conflict)
	n := int(d.u8())
	d.check(n <= maxReasons)
	r.Reason = verify.ReasonOK
	for i := range d.take(n) {
		x := verify.Reason(d.prev[i])
		d.check(x > verify.ReasonOK && x <= verify.LastReason)
		r.Reasons = append(r.Reasons, x)
	}
	if len(r.Reasons) > 0 {
		r.Reason = r.Reasons[0]
	}
	r.ReceivedAt = r.LogTime + d.varint()
	r.policySeq = d.uvarint()
	if f&flagRule != 0 {
		r.RuleReason = string(d.take(int(d.u8())))
		d.check(r.RuleReason != "" && len(r.RuleReason) <= maxRule && utf8.ValidString(r.RuleReason))
	}
	r.KeyID = string(d.take(int(d.u8())))
	d.check(len(r.KeyID) <= maxKeyID && utf8.ValidString(r.KeyID))
	if r.KeyID != "" {
		r.Facts = verify.Facts{
			KeyID:   r.KeyID,
			Alg:     verify.Alg(d.u8()),
			Profile: pcs.Profile(d.u8()),
			Mode:    verify.Mode(d.u8()),
		}
		d.check(r.Facts.Valid())
	}
}

func (r *Result) readIdentity(d *reader) {
	r.PCSID, r.MerkleRoot = hex.EncodeToString(d.take(32)), hex.EncodeToString(d.take(32))
	e := d.uvarint()
	r.Epoch = int64(e)
	n := d.uvarint()
	d.check(r.Epoch >= 0 && n >= 1 && n <= pcs.MaxShardID)
	if !d.bad {
		r.ShardID = string(d.take(int(n)))
	}
}

// reader decodes a row from the front and remembers whether anything was wrong.
type reader struct {
	b    []byte
	prev []byte // last piece taken
	bad  bool
}

func (d *reader) check(ok bool) {
	if !ok {
		d.bad = true
	}
}

func (d *reader) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad, d.prev = true, nil
		return nil
	}
	d.prev, d.b = d.b[:n], d.b[n:]
	return d.prev
}

func (d *reader) u8() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *reader) u16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *reader) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *reader) hash() (out [32]byte) {
	copy(out[:], d.take(32))
	return out
}

// uvarint reads a varint in its shortest form.
func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if b := d.take(max(n, 0)); n <= 0 || len(b) == 0 || n > 1 && b[n-1] == 0 {
		d.bad = true
		return 0
	}
	return v
}

func (d *reader) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *reader) back(seq uint64) uint64 {
	v := d.uvarint()
	if v == 0 {
		return 0
	}
	d.check(v-1 < seq)
	return seq - (v - 1)
}

func (d *reader) done() error {
	if d.bad || len(d.b) != 0 {
		return ErrCorrupt
	}
	return nil
}
