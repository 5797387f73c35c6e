package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/recount-ledger/recount/internal/pcs"
)

// Errors of key construction.
var (
	// ErrEmptySecret means that an HMAC secret has no bytes.
	ErrEmptySecret = errors.New("verify: empty HMAC secret")
	// ErrBadPublicKey means that the bytes are not a usable Ed25519 public key: wrong length, not the canonical
	// encoding of a curve point, or of small order.
	ErrBadPublicKey = errors.New("verify: unusable Ed25519 public key")
)

// Alg is a signature algorithm. Values are persisted and must never be renumbered.
type Alg uint8

// The algorithms: HMAC-SHA256 (RFC 2104) and Ed25519 (RFC 8032, strict).
const (
	HMACSHA256 Alg = 1
	Ed25519    Alg = 2
)

var algNames = [...]string{HMACSHA256: "hmac-sha256", Ed25519: "ed25519"}

// String returns "hmac-sha256" or "ed25519", or "unknown" for other values.
func (a Alg) String() string { return nameOf(algNames[:], int(a)) }

// ParseAlg is the inverse of Alg.String. Its error wraps ErrUnknownName.
func ParseAlg(s string) (Alg, error) {
	i, err := indexOf(algNames[:], s)
	return Alg(i), err
}

// Mode is the kind of message that was signed: the payload itself, its SHA-256, or the message of scheme pcs/2,
// which covers the whole record. Values are persisted and must never be renumbered.
type Mode uint8

// The modes. Raw and SHA256 are those of scheme pcs/1.
const (
	Raw    Mode = 1
	SHA256 Mode = 2
	Whole  Mode = 3
)

var modeNames = [...]string{Raw: "raw", SHA256: "sha256", Whole: "whole"}

// String returns "raw", "sha256" or "whole", or "unknown" for other values.
func (m Mode) String() string { return nameOf(modeNames[:], int(m)) }

// ParseMode is the inverse of Mode.String. Its error wraps ErrUnknownName.
func ParseMode(s string) (Mode, error) {
	i, err := indexOf(modeNames[:], s)
	return Mode(i), err
}

// Key is one verification key.
type Key struct {
	ID          string
	Alg         Alg
	Public      []byte // 32 bytes for Ed25519, nil for HMAC
	Secret      []byte // HMAC secret; nil when this node does not hold it
	Fingerprint [32]byte
}

// String returns the id of the key, so that printing a key shows no secret.
func (k Key) String() string { return k.ID }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return k.ID }

// HasMaterial reports whether the key holds what is needed to check a signature.
func (k Key) HasMaterial() bool {
	if k.Alg == Ed25519 {
		return len(k.Public) == 32
	}
	return len(k.Secret) > 0
}

const (
	hmacFingerprintLabel = "recount/hmac-key-fingerprint/v1"
	edFingerprintLabel   = "recount/ed25519-key/v1"
)

// NewHMACKey returns a key for a secret, whose bytes are used as they are. The fingerprint is
// HMAC-SHA256(secret, "recount/hmac-key-fingerprint/v1") and the id is "hmac-" and its first 16 hex digits. The
// secret is copied. An empty secret gives ErrEmptySecret.
func NewHMACKey(secret []byte) (Key, error) {
	if len(secret) == 0 {
		return Key{}, ErrEmptySecret
	}
	k := Key{Alg: HMACSHA256, Secret: append([]byte(nil), secret...)}
	h := hmac.New(sha256.New, k.Secret)
	h.Write([]byte(hmacFingerprintLabel))
	h.Sum(k.Fingerprint[:0])
	k.ID = HMACKeyID(k.Fingerprint)
	return k, nil
}

// HMACKeyID returns the id of the HMAC key with this fingerprint: "hmac-" and the first 16 hex digits.
func HMACKeyID(fingerprint [32]byte) string { return "hmac-" + hex.EncodeToString(fingerprint[:8]) }

// NewEd25519Key returns a key for the 32 bytes of a public key. The fingerprint is
// SHA-256("recount/ed25519-key/v1" || pub) and the id is "ed-" and its first 16 hex digits. Bytes that are not
// the canonical encoding of a point, and points of small order (whose signatures are valid for every message),
// give ErrBadPublicKey.
func NewEd25519Key(pub []byte) (Key, error) {
	if !usablePoint(pub) {
		return Key{}, ErrBadPublicKey
	}
	k := Key{Alg: Ed25519, Public: append([]byte(nil), pub...)}
	k.Fingerprint = sha256.Sum256(append([]byte(edFingerprintLabel), k.Public...))
	k.ID = "ed-" + hex.EncodeToString(k.Fingerprint[:8])
	return k, nil
}

// Facts are the signature facts of a record: the key that verified it and how. The zero value means that no key
// did. The signed values are those of Profile, which is f9 in mode whole.
type Facts struct {
	KeyID   string
	Alg     Alg
	Profile pcs.Profile
	Mode    Mode
}

// Valid reports whether a key verified the record.
func (f Facts) Valid() bool {
	if f.KeyID == "" || f.Alg != HMACSHA256 && f.Alg != Ed25519 {
		return false
	}
	if f.Mode == Whole {
		return f.Profile == pcs.F9
	}
	return (f.Mode == Raw || f.Mode == SHA256) && f.Profile >= pcs.F9 && f.Profile <= pcs.LastProfile
}

// Scheme returns the scheme that the mode belongs to.
func (f Facts) Scheme() pcs.Scheme {
	switch f.Mode {
	case Raw, SHA256:
		return pcs.PCS1
	case Whole:
		return pcs.PCS2
	}
	return pcs.UnknownScheme
}

// InputsSigned reports whether the signature covers every input of the verdict.
func (f Facts) InputsSigned() bool { return f.Valid() && f.Mode == Whole }
