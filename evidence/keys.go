package evidence

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// PublicKey checks the signatures that one key makes under one name. Compare it by its text.
type PublicKey struct {
	verifier note.Verifier
	text     string
}

// SecretKey signs under one name. Its text is a secret: nothing of this package prints it.
type SecretKey struct {
	signer note.Signer
	public PublicKey
}

// Name returns the name under which the key signs: the origin of a ledger.
func (k PublicKey) Name() string { return k.verifier.Name() }

// String returns the key as C2SP signed-note writes it: name, hash of the key and the key, as in
// "recount/ledger+2a6d1b0f+AQ9y…".
func (k PublicKey) String() string { return k.text }

// Public returns the public key.
func (k SecretKey) Public() PublicKey { return k.public }

// String returns the public key, so that a secret is not logged by mistake.
func (k SecretKey) String() string { return k.public.String() }

// GoString is String, for %#v.
func (k SecretKey) GoString() string { return k.public.String() }

// ParsePublicKey reads one public key, in its only spelling.
func ParsePublicKey(text string) (PublicKey, error) {
	bad := fmt.Errorf("%w: %q is no public key such as recount/ledger+2a6d1b0f+AQ9y…", ErrFormat, text)
	v, err := note.NewVerifier(text)
	if err != nil || !validName(v.Name()) {
		return PublicKey{}, bad
	}
	parts := strings.SplitN(text, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return PublicKey{}, bad
	}
	if plain, err := note.NewEd25519VerifierKey(v.Name(), key[1:]); err != nil || plain != text {
		return PublicKey{}, bad
	}
	return PublicKey{v, text}, nil
}

// ParsePublicKeys reads public keys, one a line, at least one. Empty lines and lines that begin with # say
// nothing. A key that is there twice is ErrFormat.
func ParsePublicKeys(text string) ([]PublicKey, error) {
	return parseKeys(text, ParsePublicKey, PublicKey.String)
}

// NewSecretKey makes an Ed25519 key that signs under a name. The text is that of the file of secret keys.
func NewSecretKey(name string) (text string, key SecretKey, err error) {
	if !validName(name) {
		return "", SecretKey{}, fmt.Errorf("%w: a key cannot be named %q", ErrFormat, name)
	}
	text, _, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", SecretKey{}, fmt.Errorf("evidence: a new key: %w", err)
	}
	key, err = ParseSecretKey(text)
	return text, key, err
}

// ParseSecretKey reads one secret key. The error does not show the text.
func ParseSecretKey(text string) (SecretKey, error) {
	bad := fmt.Errorf("%w: not a secret key: PRIVATE+KEY+name+hash+key", ErrFormat)
	s, err := note.NewSigner(text)
	if err != nil || !validName(s.Name()) {
		return SecretKey{}, bad
	}
	parts := strings.SplitN(text, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return SecretKey{}, bad
	}
	public, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	plain, err := note.NewEd25519VerifierKey(s.Name(), public)
	if err != nil {
		return SecretKey{}, bad
	}
	k, err := ParsePublicKey(plain)
	return SecretKey{s, k}, err
}

// ParseSecretKeys reads secret keys, one a line, at least one. Empty lines and lines that begin with # say
// nothing. A key that is there twice is ErrFormat.
func ParseSecretKeys(text string) ([]SecretKey, error) {
	return parseKeys(text, ParseSecretKey, SecretKey.String)
}

func parseKeys[K any](text string, parse func(string) (K, error), name func(K) string) (keys []K, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		k, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if slices.ContainsFunc(keys, func(other K) bool { return name(other) == name(k) }) {
			return nil, fmt.Errorf("line %d: %w: the key %s is there twice", n, ErrFormat, name(k))
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key", ErrFormat)
	}
	return keys, nil
}
