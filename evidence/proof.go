package evidence

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Proof says that a leaf is in the tree of a checkpoint. Its file format is that of C2SP tlog-proof.
type Proof struct {
	Index uint64 // of the leaf, from 0
	// Hashes leads from the leaf to the root (RFC 6962, section 2.1.1), from the sibling of the leaf upwards.
	Hashes [][32]byte
	// Checkpoint is the whole note.
	Checkpoint []byte
}

const proofTitle = "c2sp.org/tlog-proof@v1"

// Text returns the proof as a file:
//
//	c2sp.org/tlog-proof@v1
//	index 6
//	<hash in base64>
//	…
//
//	<the checkpoint>
func (p Proof) Text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofTitle, p.Index)
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return []byte(b.String())
}

// ParseProof reads what Text writes. Opaque extra data, which the format allows, is refused: nothing would vouch
// for it. It does not look into the checkpoint. Check does.
func ParseProof(b []byte) (p Proof, err error) {
	head, checkpoint, found := strings.Cut(string(b), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != proofTitle || len(lines) < 2 || len(lines) > 2+maxHashes {
		return p, fmt.Errorf("%w: not a %s of at most %d hashes", ErrFormat, proofTitle, maxHashes)
	}
	digits, ok := strings.CutPrefix(lines[1], "index ")
	if p.Index, err = strconv.ParseUint(digits, 10, 64); !ok || err != nil || strconv.FormatUint(p.Index, 10) != digits {
		return Proof{}, fmt.Errorf("%w: index of a proof", ErrFormat)
	}
	for _, line := range lines[2:] {
		h, err := parseHash(line)
		if err != nil {
			return Proof{}, err
		}
		p.Hashes = append(p.Hashes, h)
	}
	p.Checkpoint = []byte(checkpoint)
	return p, nil
}

// Check checks the signatures of the checkpoint, as OpenCheckpoint does, and that leaf is at the index of the
// proof in its tree. It returns the checkpoint and the trusted keys that signed it.
func (p Proof) Check(leaf [32]byte, trusted ...PublicKey) (Checkpoint, []PublicKey, error) {
	c, by, err := OpenCheckpoint(p.Checkpoint, trusted...)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	return c, by, CheckInclusion(p.Index, c.Size, leaf, c.Root, p.Hashes)
}
