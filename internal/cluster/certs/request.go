package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
)

// ErrSigningRequest refuses a signing request. Compare with errors.Is.
var ErrSigningRequest = errors.New("the signing request is refused")

// signingRequest is the type of a signing request in PEM (RFC 7468).
const signingRequest = "CERTIFICATE REQUEST"

// alternativeNames identifies the extension subjectAltName (RFC 5280).
var alternativeNames = asn1.ObjectIdentifier{2, 5, 29, 17}

// NewSigningRequest makes a key and a signing request (PKCS #10, RFC 2986) with the names of r, both PEM. Whoever has
// the authority signs it with Sign, and the key stays where it was made.
func NewSigningRequest(r Request) (request, key []byte, err error) {
	priv, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: r.CommonName}, DNSNames: r.DNS, IPAddresses: r.IPs}
	if tmpl.URIs, err = r.uris(); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, priv)
	if err != nil {
		return nil, nil, fmt.Errorf("certs: signing request: %w", err)
	}
	key, err = keyPEM(priv)
	return pem.EncodeToMemory(&pem.Block{Type: signingRequest, Bytes: der}), key, err
}

// Sign signs a certificate for the key of a signing request (PEM). The names and uses of the certificate come from r
// alone. ErrSigningRequest when the request is not signed with its own key, has another kind of key than ECDSA P-256,
// or asks for anything else than the names of r. ErrOutlives as for Issue.
func (ca *CA) Sign(request []byte, r Request) (certPEM []byte, err error) {
	asked, err := parseSigningRequest(request)
	if err == nil {
		err = r.matches(asked)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigningRequest, err)
	}
	return ca.sign(r, asked.PublicKey)
}

func parseSigningRequest(text []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != signingRequest || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("the file must hold one " + signingRequest + " in PEM and nothing else")
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := asked.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature is not by its own key: %w", err)
	}
	if key, ok := asked.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("its key is not ECDSA P-256, but %s", asked.PublicKeyAlgorithm)
	}
	return asked, nil
}

// matches refuses a signing request that asks for anything else than the names of r.
func (r Request) matches(asked *x509.CertificateRequest) error {
	if asked.Subject.CommonName != r.CommonName || len(asked.Subject.Names) != 1 {
		return fmt.Errorf("its subject is %q, not %q", asked.Subject.String(), "CN="+r.CommonName)
	}
	for _, e := range asked.Extensions {
		if !e.Id.Equal(alternativeNames) {
			return fmt.Errorf("it asks for the extension %s; only names may be asked for", e.Id)
		}
	}
	uris, err := r.uris()
	if err != nil {
		return err
	}
	got := names(asked.DNSNames, asked.IPAddresses, asked.URIs, asked.EmailAddresses...)
	if want := names(r.DNS, r.IPs, uris); !slices.Equal(got, want) {
		return fmt.Errorf("it asks for the names %q, not %q", got, want)
	}
	return nil
}

// names lists alternative names, sorted and none twice.
func names(hosts []string, ips []net.IP, uris []*url.URL, emails ...string) (out []string) {
	for _, h := range hosts {
		out = append(out, "DNS:"+h)
	}
	for _, ip := range ips {
		out = append(out, "IP:"+ip.String())
	}
	for _, u := range uris {
		out = append(out, "URI:"+u.String())
	}
	for _, e := range emails {
		out = append(out, "email:"+e)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
