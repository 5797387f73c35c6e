package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/recount-ledger/recount/internal/secretfile"
)

// ErrValidity means that a certificate is not valid at the moment. Compare with errors.Is.
var ErrValidity = errors.New("not valid now")

// ReadPair reads a certificate, with its chain if any, and the private key that belongs to it. The errors name
// the file. A key that others can read is refused, whenever it is read.
func ReadPair(certFile, keyFile string) (tls.Certificate, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := secretfile.Read(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certPEM, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s with the key %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

// ReadPool reads authorities. A file with anything in it that is not a certificate is refused whole.
func ReadPool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all, err := parseAll(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	pool := x509.NewCertPool()
	for _, cert := range all {
		pool.AddCert(cert)
	}
	return pool, nil
}

// ReadAll reads the certificates of a file, in DER. A file with anything in it that is not a certificate is refused
// whole.
func ReadAll(file string) (out [][]byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all, err := parseAll(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, cert := range all {
		out = append(out, cert.Raw)
	}
	return out, nil
}

// parseAll gives at least one certificate.
func parseAll(text []byte) (all []*x509.Certificate, err error) {
	blocks := bytes.Count(text, []byte("-----BEGIN ")) // pem.Decode passes over what is damaged
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s, not only certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate number %d: %w", len(all)+1, err)
		}
		all = append(all, cert)
	}
	if len(all) != blocks {
		return nil, fmt.Errorf("%d of %d certificates are damaged or cut off", blocks-len(all), blocks)
	}
	if blocks == 0 {
		return nil, errors.New("no certificate in it")
	}
	return all, nil
}

// CheckValid returns ErrValidity when the certificate of the pair is not valid at the moment now.
func CheckValid(pair tls.Certificate, now time.Time) error {
	switch leaf := pair.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: it begins %s", ErrValidity, leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w: it ended %s", ErrValidity, leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
