package evidence

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// WitnessKey checks the cosignatures of one witness: Ed25519 with a time, as in C2SP tlog-cosignature, version 1.
// A key of a ledger is no WitnessKey, nor the other way round.
type WitnessKey struct {
	name string
	key  ed25519.PublicKey
}

// WitnessSecret cosigns under the name of one witness. Its text is a secret: nothing of this package prints it.
type WitnessSecret struct {
	public WitnessKey
	key    ed25519.PrivateKey
}

// Cosignature says that a witness had seen a checkpoint and no contradictory one at a time, by its clock.
type Cosignature struct {
	Key  WitnessKey
	Time time.Time // whole seconds, UTC
}

// algCosignature stands before a key of this kind in its text (C2SP signed-note), stampSize bytes of time before a
// signature, and hashSize bytes that name the key before both.
const (
	algCosignature = 4
	stampSize      = 8
	hashSize       = 4
)

// Name returns the name of the witness.
func (k WitnessKey) Name() string { return k.name }

// String returns the key as C2SP signed-note writes it: name, hash of the key, and the key.
func (k WitnessKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.KeyHash(), base64.StdEncoding.EncodeToString(k.encoded()))
}

// KeyHash implements note.Verifier. With the name it says which key a signature line is of.
func (k WitnessKey) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(k.name+"\n"), k.encoded()...))
	return binary.BigEndian.Uint32(sum[:])
}

// Verify implements note.Verifier. sig is a time and a signature.
func (k WitnessKey) Verify(msg, sig []byte) bool {
	if len(sig) != stampSize+ed25519.SignatureSize || binary.BigEndian.Uint64(sig) > math.MaxInt64 {
		return false
	}
	return ed25519.Verify(k.key, cosigned(int64(binary.BigEndian.Uint64(sig)), msg), sig[stampSize:])
}

func (k WitnessKey) encoded() []byte { return append([]byte{algCosignature}, k.key...) }

// cosigned returns the bytes that a witness signs for the text of a checkpoint.
func cosigned(unix int64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", unix), text...)
}

// ParseWitnessKey reads the public key of a witness, in its only spelling.
func ParseWitnessKey(text string) (WitnessKey, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) == 3 {
		raw, err := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && len(raw) == 1+ed25519.PublicKeySize && validName(parts[0]) {
			if k := (WitnessKey{parts[0], raw[1:]}); k.String() == text {
				return k, nil
			}
		}
	}
	return WitnessKey{}, fmt.Errorf("%w: %q is no public key of a witness such as witness.example+2a6d1b0f+BA9y…",
		ErrFormat, text)
}

// ParseWitnessKeys reads public keys of witnesses, as ParsePublicKeys reads those of ledgers.
func ParseWitnessKeys(text string) ([]WitnessKey, error) {
	return parseKeys(text, ParseWitnessKey, WitnessKey.String)
}

// NewWitnessSecret makes the key of a witness. The text is that of the file of secret keys.
func NewWitnessSecret(name string) (text string, key WitnessSecret, err error) {
	if !validName(name) {
		return "", WitnessSecret{}, fmt.Errorf("%w: a witness cannot be named %q", ErrFormat, name)
	}
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", WitnessSecret{}, fmt.Errorf("evidence: a new key: %w", err)
	}
	key = WitnessSecret{WitnessKey{name, public}, secret}
	return key.text(), key, nil
}

func (s WitnessSecret) text() string {
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", s.public.name, s.public.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, s.key.Seed()...)))
}

// ParseWitnessSecret reads one secret key. The error does not show the text.
func ParseWitnessSecret(text string) (WitnessSecret, error) {
	parts := strings.SplitN(text, "+", 5)
	if len(parts) == 5 && validName(parts[2]) {
		raw, err := base64.StdEncoding.DecodeString(parts[4])
		if err == nil && len(raw) == 1+ed25519.SeedSize {
			key := ed25519.NewKeyFromSeed(raw[1:])
			public, _ := key.Public().(ed25519.PublicKey)
			if s := (WitnessSecret{WitnessKey{parts[2], public}, key}); s.text() == text {
				return s, nil
			}
		}
	}
	return WitnessSecret{}, fmt.Errorf("%w: not a secret key of a witness: PRIVATE+KEY+name+hash+key", ErrFormat)
}

// ParseWitnessSecrets reads secret keys of witnesses, as ParseSecretKeys reads those of ledgers.
func ParseWitnessSecrets(text string) ([]WitnessSecret, error) {
	return parseKeys(text, ParseWitnessSecret, WitnessSecret.String)
}

// Public returns the public key.
func (s WitnessSecret) Public() WitnessKey { return s.public }

// String returns the public key, so that a secret is not logged by mistake.
func (s WitnessSecret) String() string { return s.public.String() }

// GoString is String, for %#v.
func (s WitnessSecret) GoString() string { return s.public.String() }

// timed makes a note.Signer of a secret key and a time.
type timed struct {
	WitnessSecret
	unix int64
}

func (t timed) Name() string    { return t.public.name }
func (t timed) KeyHash() uint32 { return t.public.KeyHash() }

func (t timed) Sign(msg []byte) ([]byte, error) {
	stamp := binary.BigEndian.AppendUint64(nil, uint64(t.unix))
	return append(stamp, ed25519.Sign(t.key, cosigned(t.unix, msg))...), nil
}

// Cosign returns the checkpoint of a note with a cosignature of each of the secret keys, and their lines alone. Of the
// other signatures it keeps those of the trusted keys of its ledger, at least one. Errors are those of OpenCheckpoint.
func Cosign(msg []byte, at time.Time, trusted []PublicKey, with ...WitnessSecret) (whole, lines []byte, err error) {
	if _, _, err := OpenCheckpoint(msg, trusted...); err != nil {
		return nil, nil, err
	}
	verifiers := make([]note.Verifier, len(trusted))
	for i, k := range trusted {
		verifiers[i] = k.verifier
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	n.UnverifiedSigs = nil
	before, err := note.Sign(n)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	signers := make([]note.Signer, len(with))
	for i, s := range with {
		signers[i] = timed{s, at.Unix()}
	}
	if whole, err = note.Sign(n, signers...); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return whole, whole[len(before):], nil
}

// Cosignatures returns the cosignatures of the witnesses in the note of a checkpoint, one of each witness that
// cosigned. It checks no signature of the ledger: OpenCheckpoint does. A cosignature that names a key of a witness and
// is not its own is ErrSignature. Those of other keys are ignored.
func Cosignatures(msg []byte, witnesses ...WitnessKey) (list []Cosignature, err error) {
	var verifiers []note.Verifier
	for i, k := range witnesses {
		if !slices.ContainsFunc(witnesses[:i], func(other WitnessKey) bool { return other.String() == k.String() }) {
			verifiers = append(verifiers, k)
		}
	}
	n, err := openWith(msg, verifiers)
	var none *note.UnverifiedNoteError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, noteError(err)
	}
	if _, err := ParseCheckpoint(n.Text); err != nil {
		return nil, err
	}
	for _, s := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		for _, k := range witnesses {
			if k.name == s.Name && k.KeyHash() == s.Hash {
				unix := int64(binary.BigEndian.Uint64(raw[hashSize:]))
				list = append(list, Cosignature{k, time.Unix(unix, 0).UTC()})
				break
			}
		}
	}
	return list, nil
}
