package backup

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// ParseKey reads a private Ed25519 key as recount keygen writes it: PKCS #8 in PEM.
func ParseKey(file []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(file)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("not a private key in PEM (recount keygen ed25519 makes one)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is of another kind than Ed25519")
	}
	return key, nil
}

// ParsePublicKey reads a public Ed25519 key as recount keygen writes it: base64.
func ParsePublicKey(file []byte) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(file)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("not a public Ed25519 key in base64 (the file .pub of recount keygen ed25519)")
	}
	return key, nil
}
