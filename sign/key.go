package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/recount-ledger/recount/internal/verify"
)

// Names of the algorithms, as Key.Algorithm and Signature.Algorithm give them.
const (
	HMACSHA256 = "hmac-sha256" // RFC 2104
	Ed25519    = "ed25519"     // RFC 8032
)

// Key signs, checks signatures, or both. Printing one shows its id and no secret. The zero value does neither.
type Key struct {
	public  verify.Key         // with the secret of an HMAC key
	private ed25519.PrivateKey // nil for HMAC keys and public keys
}

// NewHMACKey makes a key of HMAC-SHA256 from secret bytes, used as they stand. It copies them. An empty secret is an
// error that wraps ErrKey.
func NewHMACKey(secret []byte) (Key, error) {
	k, err := verify.NewHMACKey(secret)
	if err != nil {
		return Key{}, fail(ErrKey, err)
	}
	return Key{public: k}, nil
}

// NewEd25519Key makes a key that signs with Ed25519. Another length than 64 bytes is an error that wraps ErrKey.
func NewEd25519Key(private ed25519.PrivateKey) (Key, error) {
	if len(private) != ed25519.PrivateKeySize {
		err := fmt.Errorf("an Ed25519 private key of %d bytes, not %d", len(private), ed25519.PrivateKeySize)
		return Key{}, fail(ErrKey, err)
	}
	k, err := NewPublicKey(private.Public().(ed25519.PublicKey))
	k.private = bytes.Clone(private)
	return k, err
}

// NewPublicKey makes a key that checks Ed25519 signatures and makes none. Bytes that are no canonical encoding of a
// point, and points of small order, are errors that wrap ErrKey.
func NewPublicKey(public ed25519.PublicKey) (Key, error) {
	k, err := verify.NewEd25519Key(public)
	if err != nil {
		return Key{}, fail(ErrKey, err)
	}
	return Key{public: k}, nil
}

// ReadKey reads the content of a key file that signs. algorithm is "hmac" (or HMACSHA256), Ed25519, or empty, which
// means Ed25519 for a PEM block and HMAC for everything else.
//
// An HMAC file holds the secret text. One final line feed is not part of it. The text is never decoded, even if it
// looks like base64. An Ed25519 file holds a PEM block (PKCS #8), or the seed of 32 bytes in base64 or hex. Errors
// wrap ErrKey.
func ReadKey(file []byte, algorithm string) (Key, error) {
	block, _ := pem.Decode(file)
	switch {
	case algorithm == Ed25519, algorithm == "" && block != nil:
		private, err := readPrivate(block, strings.TrimSpace(string(file)))
		if err != nil {
			return Key{}, fail(ErrKey, err)
		}
		return NewEd25519Key(private)
	case algorithm != "" && algorithm != "hmac" && algorithm != HMACSHA256:
		return Key{}, fail(ErrKey, fmt.Errorf("unknown algorithm %q; known are hmac and ed25519", algorithm))
	case block != nil:
		return Key{}, fail(ErrKey, errors.New("a PEM file is not an HMAC secret; the algorithm is ed25519"))
	}
	secret, err := verify.ReadSecret(file)
	if err != nil {
		return Key{}, fail(ErrKey, err)
	}
	return NewHMACKey(secret)
}

// ReadPublicKey reads the content of a file with an Ed25519 public key: its 32 bytes in base64 or hex. Errors wrap
// ErrKey.
func ReadPublicKey(file []byte) (Key, error) {
	text := string(bytes.TrimSpace(file))
	for _, decode := range decodings {
		if public, err := decode(text); err == nil {
			return NewPublicKey(public)
		}
	}
	return Key{}, fail(ErrKey, errors.New("neither base64 nor hex"))
}

var decodings = []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString}

func readPrivate(block *pem.Block, text string) (ed25519.PrivateKey, error) {
	if block == nil {
		for _, decode := range decodings {
			if seed, err := decode(text); err == nil && len(seed) == ed25519.SeedSize {
				return ed25519.NewKeyFromSeed(seed), nil
			}
		}
		return nil, errors.New("neither a PEM private key nor a 32-byte seed in base64 or hex")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, not an Ed25519 key", key)
	}
	return private, nil
}

// ID names the key as a node does: "hmac-" or "ed-" and 16 hex digits of its fingerprint.
func (k Key) ID() string { return k.public.ID }

// Algorithm is HMACSHA256 or Ed25519.
func (k Key) Algorithm() string { return k.public.Alg.String() }

// CanSign reports whether the key holds what a signature is made with.
func (k Key) CanSign() bool { return len(k.public.Secret) > 0 || k.private != nil }

// Sign signs a message as it stands: an HMAC of 32 bytes, or an Ed25519 signature of 64 bytes. Signer.Message makes
// the message of a record. A public key gives an error that wraps ErrKey.
func (k Key) Sign(message []byte) ([]byte, error) {
	switch {
	case k.private != nil:
		return ed25519.Sign(k.private, message), nil
	case len(k.public.Secret) > 0:
		mac := hmac.New(sha256.New, k.public.Secret)
		mac.Write(message)
		return mac.Sum(nil), nil
	}
	return nil, fail(ErrKey, fmt.Errorf("%s holds no private key", k.ID()))
}

// String is the id.
func (k Key) String() string { return k.ID() }

// GoString is the id, so that %#v hides the secret.
func (k Key) GoString() string { return k.ID() }
