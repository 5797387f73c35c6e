package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
)

// Position records how far a generation is folded. It is written in the same step as the rows that it covers.
type Position struct {
	Index, Term uint64 // last Raft entry folded
	Seq         uint64 // last event folded
	LogTime     int64  // Unix nanoseconds
	Digest      [32]byte
}

// Generation folds submissions into outcome rows under the policies of the control state. It is used by one
// goroutine. After an error of Fold, or if its Tx was not committed, the Generation must be loaded again.
type Generation struct {
	number   uint32
	seq      uint64
	logTime  int64
	digest   [32]byte
	policies map[uint64]bool // policy rows known to be written
	mem      *rowCache
	rows     written
	eval     evaluation // of the last submission, whose memory serves the next one
}

// written records what the fold of an event writes, in order, so that its outcome row can cover all other rows.
type written struct {
	Tx
	buf []byte
}

func (w *written) begin(tx Tx) *written {
	w.Tx, w.buf = tx, w.buf[:0]
	return w
}

// Set writes a row.
func (w *written) Set(k, v []byte) {
	w.buf = append(append(binary.AppendUvarint(w.buf, uint64(len(k))), k...), 1)
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(v))), v...)
	w.Tx.Set(k, v)
}

// Delete removes a row.
func (w *written) Delete(k []byte) {
	w.buf = append(append(binary.AppendUvarint(w.buf, uint64(len(k))), k...), 0)
	w.Tx.Delete(k)
}

func (w *written) digest() [32]byte { return sha256.Sum256(w.buf) }

// NewGeneration returns an empty generation.
func NewGeneration(number uint32) *Generation {
	return &Generation{number: number, policies: map[uint64]bool{}, mem: newRowCache()}
}

// LoadGeneration resumes the fold whose position row is in s. It recomputes the running digest from the rows
// since the last digest checkpoint. If the position row contradicts it, the error is ErrCorrupt.
func LoadGeneration(number uint32, s Store) (*Generation, error) {
	g := NewGeneration(number)
	p, err := ReadPosition(s)
	if err != nil || p.Seq == 0 {
		return g, err
	}
	if g.digest, err = DigestAt(s, p.Seq); err != nil {
		return nil, err
	}
	if p.Digest != g.digest && p.Digest != [32]byte{} {
		return nil, fmt.Errorf("digest at event %d: %w", p.Seq, ErrCorrupt)
	}
	g.seq, g.logTime = p.Seq, p.LogTime
	return g, nil
}

// Number returns the number of the generation.
func (g *Generation) Number() uint32 { return g.number }

// Digest returns the last event folded and the running digest after it.
func (g *Generation) Digest() (seq uint64, digest [32]byte) { return g.seq, g.digest }

// LogTime returns the log time of the last event folded, Unix nanoseconds.
func (g *Generation) LogTime() int64 { return g.logTime }

// Position returns the position row after the last event folded. index and term are those of the last Raft
// entry folded, which may carry no event.
func (g *Generation) Position(index, term uint64) Position {
	return Position{Index: index, Term: term, Seq: g.seq, LogTime: g.logTime, Digest: g.digest}
}

// Fold folds the next event. It returns the outcome of a submission, or the zero Result for an operator's
// event. The control state must be folded up to it.Seq. After an error (ErrUnknownKind, ErrBadEvent, ErrOrder,
// ErrNoPolicy, ErrCorrupt, those of tx) the fold cannot continue.
func (g *Generation) Fold(tx Tx, it *Item, view ControlView) (Result, error) {
	if !it.Kind.Known() {
		return Result{}, fmt.Errorf("event %d: %w: %d", it.Seq, ErrUnknownKind, it.Kind)
	}
	if it.Seq != g.seq+1 || it.LogTime < g.logTime {
		return Result{}, fmt.Errorf("event %d after %d: %w", it.Seq, g.seq, ErrOrder)
	}
	var (
		r      Result
		hash   [32]byte
		stored []byte
		err    error
	)
	if it.Kind == event.Submission {
		r, hash, stored, err = g.foldSubmission(tx, it, view)
	} else {
		hash = leafHash(it)
		stored = appendOperatorRow(nil, it, hash)
	}
	if err != nil {
		return Result{}, fmt.Errorf("event %d: %w", it.Seq, err)
	}
	g.eval.key = appendNums(g.eval.key[:0], spaceRow, it.Seq)
	tx.Set(g.eval.key, stored)
	g.seq, g.logTime, g.digest = it.Seq, it.LogTime, chain(g.digest, hash)
	if g.seq%digestEvery == 0 {
		tx.Set(digestKey(g.seq), g.digest[:])
	}
	return r, nil
}

// digestEvery is the distance between digest checkpoints, in events.
const digestEvery = 256

// chain extends a running digest: SHA-256(d || h). The digest before the first event is all zeros.
func chain(d, h [32]byte) [32]byte {
	var b [64]byte
	copy(b[:32], d[:])
	copy(b[32:], h[:])
	return sha256.Sum256(b[:])
}

// ErrFormat means that another release folded the state, in rows that this one does not read. It is deleted and
// folded again.
var ErrFormat = errors.New("projections: the folded state has the format of another release")

// positionVersion is the version of all rows of a generation as they are stored. Version 1 had no blocks and lists.
const positionVersion = 2

// positionSize is the length of the position row: format, index, term, seq, log time, digest.
const positionSize = 1 + 4*8 + 32

// WritePosition writes the position row. A zero Digest is allowed, and LoadGeneration does not check it.
func WritePosition(tx Tx, p Position) {
	b := make([]byte, 1, positionSize)
	b[0] = positionVersion
	for _, n := range []uint64{p.Index, p.Term, p.Seq, uint64(p.LogTime)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	tx.Set([]byte{spacePosition}, append(b, p.Digest[:]...))
}

// ReadPosition reads the position row. Without a row it returns the zero Position.
func ReadPosition(s Store) (Position, error) {
	b, err := s.Get([]byte{spacePosition})
	if err != nil || b == nil {
		return Position{}, err
	}
	if len(b) > 0 && b[0] != positionVersion {
		return Position{}, fmt.Errorf("position: %w: %w: %d, this one has %d", ErrCorrupt, ErrFormat, b[0],
			positionVersion)
	}
	if len(b) != positionSize {
		return Position{}, fmt.Errorf("position: %w", ErrCorrupt)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return Position{Index: n(0), Term: n(1), Seq: n(2), LogTime: int64(n(3)), Digest: [32]byte(b[33:])}, nil
}
