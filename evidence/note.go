package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxNote bounds the bytes of a note. A checkpoint with 100 signatures has a fifth of that.
const maxNote = 64 << 10

// SignCheckpoint returns the note of c with a signature of each of the keys, which must carry its origin as their
// name. Ed25519 is deterministic: the same keys in the same order give the same bytes.
func SignCheckpoint(c Checkpoint, keys ...SecretKey) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return signNote(c.Text(), c.Origin, keys)
}

// OpenCheckpoint reads a note and returns its checkpoint, and the trusted keys that signed it. At least one of
// them must have signed and carry the origin as its name. Signatures of other keys are ignored, as C2SP
// signed-note demands, unless a trusted key is named and the signature is not its own. Errors are ErrFormat and
// ErrSignature.
func OpenCheckpoint(msg []byte, trusted ...PublicKey) (Checkpoint, []PublicKey, error) {
	text, by, err := openNote(msg, trusted)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	for _, k := range by {
		if k.Name() == c.Origin {
			return c, by, nil
		}
	}
	return Checkpoint{}, nil, fmt.Errorf("%w: for %q signed %s, which is not a key of that name", ErrSignature, c.Origin,
		by[0])
}

func signNote(text, name string, keys []SecretKey) ([]byte, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key to sign with", ErrSignature)
	}
	signers := make([]note.Signer, len(keys))
	for i, k := range keys {
		if k.public.Name() != name {
			return nil, fmt.Errorf("%w: the key %s signs for its own name only, not for %q", ErrSignature, k.public, name)
		}
		signers[i] = k.signer
	}
	msg, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return msg, nil
}

// openNote checks the signatures of a note and returns its text and the trusted keys that signed it, at least
// one.
func openNote(msg []byte, trusted []PublicKey) (string, []PublicKey, error) {
	list := make([]note.Verifier, len(trusted))
	for i, k := range trusted {
		list[i] = k.verifier
	}
	n, err := openWith(msg, list)
	if err != nil {
		return "", nil, noteError(err)
	}
	return n.Text, signedBy(n, trusted), nil
}

// openWith opens a note in its only encoding. Errors are ErrFormat and those of note.Open.
func openWith(msg []byte, list []note.Verifier) (*note.Note, error) {
	if len(msg) > maxNote {
		return nil, fmt.Errorf("%w: a note of %d bytes", ErrFormat, len(msg))
	}
	if err := strictNote(msg); err != nil {
		return nil, err
	}
	return note.Open(msg, note.VerifierList(list...))
}

// noteError says which of the errors of this package an error of openWith is.
func noteError(err error) error {
	var none *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	switch {
	case errors.As(err, &none):
		return ErrUnsigned
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: not that of %s+%08x", ErrSignature, wrong.Name, wrong.Hash)
	case errors.Is(err, ErrFormat):
		return err
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

func signedBy(n *note.Note, trusted []PublicKey) (by []PublicKey) {
	for _, s := range n.Sigs {
		for _, k := range trusted {
			if k.Name() == s.Name && k.verifier.KeyHash() == s.Hash {
				by = append(by, k)
				break
			}
		}
	}
	return by
}

// strictNote refuses what note.Open takes though it is another encoding of the same note: base64 with loose ends,
// and a signature line twice.
func strictNote(msg []byte) error {
	split := bytes.LastIndex(msg, []byte("\n\n"))
	if split < 0 {
		return fmt.Errorf("%w: a note has an empty line before its signatures", ErrFormat)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(msg[split+2:])) {
		_, text, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "— "), " ")
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(b) != text || seen[line] {
			return fmt.Errorf("%w: signature line %q", ErrFormat, line)
		}
		seen[line] = true
	}
	return nil
}
