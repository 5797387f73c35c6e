package projections

import (
	"bytes"
	"fmt"
)

// Stated is the outcome of one submission with what ties it to the running digest of its generation.
type Stated struct {
	Result
	Core          []byte   // the part of the outcome row that the digest covers
	Before, After [32]byte // the running digest before and after the event
}

// State returns the outcome of a submission that names a pcs_id (64 lower-case hex digits), or with seq 0 the one
// that stands. ErrNotFound means that nothing stands, or that the event is not a submission of this id. A row
// that does not lead from the one digest to the other is ErrCorrupt.
func State(s Store, pcsID string, seq uint64) (out Stated, err error) {
	if seq == 0 {
		if seq, err = standing(s, pcsID); err != nil {
			return Stated{}, err
		}
	}
	if out, err = stateAt(s, seq); err != nil {
		return Stated{}, err
	}
	if out.PCSID != pcsID {
		return Stated{}, fmt.Errorf("event %d is not of pcs_id %s: %w", seq, pcsID, ErrNotFound)
	}
	return out, nil
}

// stateAt returns the outcome of the submission at seq.
func stateAt(s Store, seq uint64) (out Stated, err error) {
	if out.Result, err = readRow(s, seq); err != nil {
		return Stated{}, err
	}
	out.Core = out.appendCore(nil)
	if out.Before, err = DigestAt(s, seq-1); err != nil {
		return Stated{}, err
	}
	if out.After, err = DigestAt(s, seq); err != nil {
		return Stated{}, err
	}
	if NextDigest(out.Before, out.Core) != out.After {
		return Stated{}, fmt.Errorf("outcome row of event %d: %w", seq, ErrCorrupt)
	}
	return out, nil
}

// standing returns the submission whose judgement stands for a pcs_id.
func standing(s Store, pcsID string) (uint64, error) {
	id, err := parseHex(pcsID)
	if err != nil {
		return 0, err
	}
	w, err := read(s, idKey(id), decodeIDRow)
	if err == nil && w == nil {
		err = fmt.Errorf("pcs_id %s: %w", pcsID, ErrNotFound)
	}
	if err != nil {
		return 0, err
	}
	return w.judged, nil
}

// NextDigest returns the running digest after a submission from the one before and the core of its outcome row.
func NextDigest(before [32]byte, core []byte) [32]byte { return chain(before, sum(core)) }

// ParseCore reads the core of the outcome row of event seq, in its only encoding. Node and Detail are empty, and
// Policy is zero: a row names the event of its policy only. Other bytes are ErrCorrupt.
func ParseCore(seq uint64, core []byte) (Result, error) {
	r, n, err := decodeRow(seq, append(bytes.Clone(core), 0)) // a node of no letters
	if err != nil {
		return Result{}, err
	}
	if n != len(core) || !bytes.Equal(r.appendCore(nil), core) {
		return Result{}, fmt.Errorf("outcome row of event %d: %w", seq, ErrCorrupt)
	}
	return r, nil
}
