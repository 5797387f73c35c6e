package evidence

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat means that bytes are not what they are said to be: another format, another encoding, or text
	// behind it.
	ErrFormat = errors.New("evidence: malformed")
	// ErrSignature means that no key that is trusted signed a note for its origin, or that a trusted key did not
	// sign it although the note says so.
	ErrSignature = errors.New("evidence: signature")
	// ErrUnsigned means that no signature of a note names a trusted key. It is an ErrSignature.
	ErrUnsigned = fmt.Errorf("%w: no trusted key signed the note", ErrSignature)
	// ErrProof means that the hashes of a Merkle proof do not lead to the root.
	ErrProof = errors.New("evidence: merkle proof")
	// ErrVerdict means that the events of a bundle do not lead to the outcome that the ledger states.
	ErrVerdict = errors.New("evidence: the verdict is not reproduced")
)
