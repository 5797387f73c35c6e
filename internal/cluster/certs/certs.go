// Package certs makes certificate authorities and node, client and server certificates (ECDSA P-256). It reads the PEM
// files of the two TLS ports strictly, and reads them again while the ports are in use when the files change. It is no
// certificate manager: it does not renew, revoke or keep an index of what it issued.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	caValidity      = 10 * 365 * 24 * time.Hour
	defaultValidity = 365 * 24 * time.Hour
	backdate        = time.Hour // tolerates clocks that are a little behind
)

// ErrOutlives refuses a certificate that would still be valid when its authority no longer is.
var ErrOutlives = errors.New("certs: the certificate would outlive its authority")

// CA signs certificates.
type CA struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

// Request describes one certificate. Validity zero means a year.
type Request struct {
	CommonName     string
	DNS            []string
	IPs            []net.IP
	URIs           []string // such as recount://<cluster-id>/node/<node-id>
	Client, Server bool     // extended key usages; at least one
	Validity       time.Duration
}

// NewCA makes a self-signed authority, valid for ten years, that can sign end certificates only.
func NewCA(name string) (*CA, error) { return NewCAFor(name, caValidity) }

// NewCAFor is NewCA with another validity.
func NewCAFor(name string, validity time.Duration) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	tmpl, err := template(name, validity)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.MaxPathLenZero = true, true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certs: sign CA: %w", err)
	}
	return newCA(der, key)
}

func newCA(der []byte, key *ecdsa.PrivateKey) (*CA, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certs: CA: %w", err)
	}
	return &CA{cert: cert, der: der, key: key}, nil
}

func template(name string, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("certs: serial: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(validity),
	}, nil
}

// CertPEM is the authority's certificate.
func (ca *CA) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.der})
}

// Save writes <base>.crt and <base>.key (readable by the owner only) into dir, which it creates.
func (ca *CA) Save(dir, base string) error {
	key, err := keyPEM(ca.key)
	if err != nil {
		return err
	}
	return WritePair(dir, base, ca.CertPEM(), key)
}

// LoadCA reads what Save wrote.
func LoadCA(dir, base string) (*CA, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, base+".crt"))
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	keyText, err := os.ReadFile(filepath.Join(dir, base+".key"))
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyText)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("certs: %s: not PEM", filepath.Join(dir, base))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certs: CA key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("certs: CA key is not ECDSA")
	}
	ca, err := newCA(certBlock.Bytes, key)
	if err != nil {
		return nil, err
	}
	if !ca.cert.IsCA || !key.PublicKey.Equal(ca.cert.PublicKey) {
		return nil, errors.New("certs: key and CA certificate do not belong together")
	}
	return ca, nil
}

// Issue makes a key and signs a certificate for it. ErrOutlives when the authority expires before the
// certificate would.
func (ca *CA) Issue(r Request) (certPEM, key []byte, err error) {
	priv, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if certPEM, err = ca.sign(r, priv.Public()); err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(priv)
	return certPEM, key, err
}

// sign signs the certificate that r describes, for a public key.
func (ca *CA) sign(r Request, pub crypto.PublicKey) ([]byte, error) {
	if !r.Client && !r.Server {
		return nil, errors.New("certs: a certificate is for clients, servers or both")
	}
	if r.Validity == 0 {
		r.Validity = defaultValidity
	}
	tmpl, err := template(r.CommonName, r.Validity)
	if err != nil {
		return nil, err
	}
	if tmpl.NotAfter.After(ca.cert.NotAfter) {
		return nil, fmt.Errorf("%w: it ends %s, the authority %s", ErrOutlives,
			tmpl.NotAfter.UTC().Format(time.DateOnly), ca.cert.NotAfter.Format(time.DateOnly))
	}
	tmpl.KeyUsage, tmpl.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	tmpl.DNSNames, tmpl.IPAddresses = r.DNS, r.IPs
	if tmpl.URIs, err = r.uris(); err != nil {
		return nil, err
	}
	if r.Client {
		tmpl.ExtKeyUsage = append(tmpl.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if r.Server {
		tmpl.ExtKeyUsage = append(tmpl.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, pub, ca.key)
	if err != nil {
		return nil, fmt.Errorf("certs: sign: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func (r Request) uris() (out []*url.URL, err error) {
	for _, text := range r.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("certs: URI: %w", err)
		}
		out = append(out, u)
	}
	return out, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certs: key: %w", err)
	}
	return key, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("certs: key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// WritePair writes <base>.key (0600) and <base>.crt (0644) into dir, which it creates. Each file is whole at
// any moment, so that a node that watches them never reads half of one.
func WritePair(dir, base string, certPEM, key []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, base+".key"), key, 0o600); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	return WriteCert(dir, base, certPEM)
}

// WriteCert writes <base>.crt as WritePair does, for a key that is elsewhere.
func WriteCert(dir, base string, certPEM []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, base+".crt"), certPEM, 0o644); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
