package witness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a request.
const (
	maxRequest = 80 << 10 // bytes: a note of 64 KiB and the proof
	maxProof   = 63       // lines of a proof, as tlog-witness says
)

// ErrMalformed means that a request is not one of tlog-witness.
var ErrMalformed = errors.New("witness: malformed request")

// Request asks a witness for its cosignature.
type Request struct {
	Old   uint64     // the size that the witness has seen, 0 for none
	Proof [][32]byte // that the new checkpoint grew from there
	Note  []byte     // the new checkpoint, signed by its ledger
}

// Text returns the body of the request.
func (r Request) Text() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// ParseRequest reads what Text writes. It looks into no signature. Errors are ErrMalformed.
func ParseRequest(body []byte) (r Request, err error) {
	head, rest, found := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(body) > maxRequest || len(lines) > 1+maxProof {
		return r, fmt.Errorf("%w: it has a line \"old SIZE\", at most %d hashes, an empty line and a checkpoint",
			ErrMalformed, maxProof)
	}
	digits, ok := strings.CutPrefix(lines[0], "old ")
	r.Old, err = strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil || strconv.FormatUint(r.Old, 10) != digits {
		return Request{}, fmt.Errorf("%w: the first line is \"old SIZE\"", ErrMalformed)
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 || len(line) != base64.StdEncoding.EncodedLen(32) {
			return Request{}, fmt.Errorf("%w: a hash of the proof is 32 bytes in base64", ErrMalformed)
		}
		r.Proof = append(r.Proof, [32]byte(h))
	}
	r.Note = []byte(rest)
	return r, nil
}

// origin returns the first line of the checkpoint.
func (r Request) origin() string {
	line, _, _ := strings.Cut(string(r.Note), "\n")
	return line
}
