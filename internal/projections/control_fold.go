package projections

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/internal/event"
)

// Key spaces of the control state. A key is one of these bytes and the fields listed here, big-endian.
const (
	spaceOperator      = 'o' // kind u16, seq u64: operator row
	spaceControlDigest = 'd' // seq u64: control digest after the event
)

// Effect is the effect of an operator's event.
type Effect uint8

// The effects. Values are persisted and must never be renumbered.
const (
	Applied  Effect = 1 // it took effect
	Repeated Effect = 2 // the state was already as it says
	Ignored  Effect = 3 // it contradicts the state or itself and changed nothing
)

// An operator row is version u8, kind u16, log time i64, effect u8 and the protobuf message as logged, without
// its salt.
const operatorHead = rowHead + 1

func operatorKey(k event.Kind, seq uint64) []byte {
	b := binary.BigEndian.AppendUint16([]byte{spaceOperator}, uint16(k))
	return binary.BigEndian.AppendUint64(b, seq)
}

// operator is a decoded operator row.
type operator struct {
	kind    event.Kind
	seq     uint64
	index   uint64 // of the Raft entry, 0 when read back from a row
	logTime int64
	effect  Effect
	msg     any
}

func decodeOperator(k, v []byte) (operator, error) {
	if len(k) != 11 || k[0] != spaceOperator || len(v) < operatorHead {
		return operator{}, fmt.Errorf("operator row: %w", ErrCorrupt)
	}
	kind, logTime, err := rowKind(v)
	if err != nil {
		return operator{}, err
	}
	o := operator{kind: kind, seq: seqOf(k), logTime: logTime, effect: Effect(v[rowHead])}
	if uint16(kind) != binary.BigEndian.Uint16(k[1:]) || kind == event.Submission || o.effect < Applied ||
		o.effect > Ignored {
		return operator{}, fmt.Errorf("operator row of event %d: %w", o.seq, ErrCorrupt)
	}
	payload := append(make([]byte, event.SaltSize, event.SaltSize+len(v)), v[operatorHead:]...)
	if _, o.msg, err = (event.Event{Kind: kind, Payload: payload}).Message(); err != nil {
		return operator{}, fmt.Errorf("operator row of event %d: %w: %w", o.seq, ErrCorrupt, err)
	}
	return o, nil
}

// foldOperator applies the event in memory and writes its row and the control digest. c.mu must be held.
func (c *Control) foldOperator(tx Tx, it *Item) error {
	_, msg, err := it.Event.Message()
	if err != nil {
		return fmt.Errorf("event %d: %w: %w", it.Seq, ErrBadEvent, err)
	}
	o := operator{kind: it.Kind, seq: it.Seq, index: it.Index, logTime: it.LogTime, msg: msg}
	if c.run == 0 || it.Seq != c.seq+1 {
		c.run = it.Seq
	}
	if o.effect, err = c.effect(&o); err != nil {
		return fmt.Errorf("event %d: %w", it.Seq, err)
	}
	if err := c.apply(&o); err != nil {
		return fmt.Errorf("event %d: %w", it.Seq, err)
	}
	row := append(appendHead(nil, it.Kind, it.LogTime), byte(o.effect))
	row = append(row, it.Event.Payload[event.SaltSize:]...)
	key := operatorKey(it.Kind, it.Seq)
	c.seq, c.digest = it.Seq, chain(c.digest, sum(append(bytes.Clone(key), row...)))
	tx.Set(key, row)
	tx.Set(numKey(spaceControlDigest, it.Seq), c.digest[:])
	return nil
}

// LoadControl reads the control state back. Besides ErrCorrupt it fails like Fold with ErrUnknownKind and
// ErrClusterVersion when a newer build has folded further than this one can.
func LoadControl(s Store) (*Control, error) {
	if err := unknownKinds(s); err != nil {
		return nil, err
	}
	c := NewControl()
	var operations []operator
	for k, r := range kinds {
		if r.apply == nil {
			continue
		}
		err := eachOperator(s, event.Kind(k), 0, 0, func(o operator) (bool, error) {
			operations = append(operations, o)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(operations, func(a, b operator) int { return cmp.Compare(a.seq, b.seq) })
	for i := range operations {
		if err := c.apply(&operations[i]); err != nil {
			return nil, err
		}
	}
	err := s.Scan([]byte{spaceControlDigest}, []byte{spaceControlDigest + 1}, true, func(k, v []byte) bool {
		if len(k) == 9 && len(v) == 32 {
			c.seq, c.digest = seqOf(k), [32]byte(v)
		}
		return false
	})
	if err == nil {
		err = c.loadRun(s)
	}
	return c, err
}

// loadRun finds the first of the operators' events that end with the last one without a submission between
// them.
func (c *Control) loadRun(s Store) error {
	c.run = c.seq
	return s.Scan([]byte{spaceControlDigest}, numKey(spaceControlDigest, c.seq), true, func(k, _ []byte) bool {
		if seqOf(k)+1 != c.run {
			return false
		}
		c.run--
		return true
	})
}

// eachOperator calls fn for the rows of a kind with from <= seq < to until fn returns false. A to of 0 means no
// bound.
func eachOperator(s Store, k event.Kind, from, to uint64, fn func(operator) (bool, error)) error {
	hi := operatorKey(k+1, 0)
	if to != 0 {
		hi = operatorKey(k, to)
	}
	var failed error
	err := s.Scan(operatorKey(k, from), hi, false, func(key, v []byte) bool {
		o, err := decodeOperator(key, v)
		if err != nil {
			failed = err
			return false
		}
		var more bool
		more, failed = fn(o)
		return more && failed == nil
	})
	if err != nil {
		return err
	}
	return failed
}

// ControlDigestAt returns the control digest as of seq, all zeros before the first operator's event.
func ControlDigestAt(s Store, seq uint64) (out [32]byte, err error) {
	err = s.Scan(numKey(spaceControlDigest, 0), append(numKey(spaceControlDigest, seq), 0), true,
		func(_, v []byte) bool {
			copy(out[:], v)
			return false
		})
	return out, err
}

// StateDigests returns the logged digests carried by events from <= seq < to (0 is no bound), at most limit.
func StateDigests(s Store, from, to uint64, limit int) ([]DigestRow, error) {
	var out []DigestRow
	err := eachOperator(s, event.StateDigest, from, to, func(o operator) (bool, error) {
		if m, ok := o.msg.(*event.StateDigestV1); ok && o.effect == Applied {
			out = append(out, digestRow(o, m))
		}
		return len(out) < limit, nil
	})
	return out, err
}

// LastStateDigest returns the last logged digest of a generation in the events up to to. ok is false if there
// is none.
func LastStateDigest(s Store, generation uint32, to uint64) (row DigestRow, ok bool, err error) {
	var failed error
	err = s.Scan(operatorKey(event.StateDigest, 0), operatorKey(event.StateDigest, to+1), true,
		func(key, v []byte) bool {
			var o operator
			if o, failed = decodeOperator(key, v); failed != nil {
				return false
			}
			m, is := o.msg.(*event.StateDigestV1)
			if ok = is && o.effect == Applied && m.Generation == generation; ok {
				row = digestRow(o, m)
			}
			return !ok
		})
	return row, ok && failed == nil, errors.Join(err, failed)
}

func digestRow(o operator, m *event.StateDigestV1) DigestRow {
	return DigestRow{Seq: o.seq, LogTime: o.logTime, At: m.Seq, Log: [32]byte(m.Log), State: [32]byte(m.State),
		Control: [32]byte(m.Control), Generation: m.Generation}
}

// OperatorsBetween counts the events from <= seq <= to that are not submissions.
func OperatorsBetween(s Store, from, to uint64) (n uint64, err error) {
	err = s.Scan(numKey(spaceControlDigest, from), append(numKey(spaceControlDigest, to), 0), false,
		func(_, _ []byte) bool {
			n++
			return true
		})
	return n, err
}

// OperatorSeqs lists the events from seq on that are not submissions, at most limit.
func OperatorSeqs(s Store, from uint64, limit int) (out []uint64, err error) {
	err = s.Scan(numKey(spaceControlDigest, from), []byte{spaceControlDigest + 1}, false, func(k, _ []byte) bool {
		out = append(out, binary.BigEndian.Uint64(k[1:]))
		return len(out) < limit
	})
	return out, err
}

// EffectOf returns the effect of the operator's event seq of kind k.
func EffectOf(s Store, k event.Kind, seq uint64) (Effect, error) {
	b, err := s.Get(operatorKey(k, seq))
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, fmt.Errorf("event %d is no %s: %w", seq, k, ErrNotFound)
	}
	o, err := decodeOperator(operatorKey(k, seq), b)
	return o.effect, err
}
