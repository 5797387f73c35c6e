package certs_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// nodeRequest describes the peer certificate of n4.
func nodeRequest() certs.Request {
	return certs.Request{CommonName: "n4", URIs: []string{"recount://c1/node/n4"}, Client: true, Server: true, Validity: time.Hour}
}

// TestSigningRequest: a signed request gives a certificate for its key, with the names and uses of the signer.
func TestSigningRequest(t *testing.T) {
	ca, r := newCA(t), nodeRequest()
	r.DNS, r.IPs = []string{"b", "a"}, []net.IP{net.IPv4(10, 0, 0, 4)}
	csr, key, err := certs.NewSigningRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	r.DNS = []string{"a", "b"} // the order says nothing
	crt, err := ca.Sign(csr, r)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pair.Leaf
	if leaf.Subject.CommonName != "n4" || len(leaf.URIs) != 1 || leaf.URIs[0].String() != r.URIs[0] || len(leaf.DNSNames) != 2 ||
		len(leaf.IPAddresses) != 1 || len(leaf.ExtKeyUsage) != 2 || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.IsCA {
		t.Errorf("%+v", leaf)
	}
	r.Validity = 11 * 365 * 24 * time.Hour
	if _, err := ca.Sign(csr, r); !errors.Is(err, certs.ErrOutlives) {
		t.Errorf("it outlives its authority: %v", err)
	}
}

// csrOf makes a signing request as another program may.
func csrOf(t *testing.T, key any, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	u, err := url.Parse(nodeRequest().URIs[0])
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "n4"}, URIs: []*url.URL{u}}
	change(tmpl)
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestSigningRequestRefused: a request that asks for anything else than its signer gives is not signed.
func TestSigningRequestRefused(t *testing.T) {
	ca := newCA(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, errOther := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edwards, errEdwards := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err, errOther, errEdwards); err != nil {
		t.Fatal(err)
	}
	same := func(*x509.CertificateRequest) {}
	good := csrOf(t, key, same)
	if _, err := ca.Sign(good, nodeRequest()); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	block.Bytes[len(block.Bytes)-1] ^= 1 // in its signature
	broken := pem.EncodeToMemory(block)
	extension := func(r *x509.CertificateRequest) { // cA of basicConstraints
		r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}}}
	}
	usage := func(r *x509.CertificateRequest) { // keyCertSign of keyUsage
		r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 2, 4}}}
	}
	for says, csr := range map[string][]byte{
		"one CERTIFICATE REQUEST":   []byte("no PEM"),
		"and nothing else":          append(good[:len(good):len(good)], good...),
		"in PEM and nothing":        ca.CertPEM(),
		"not by its own key":        broken,
		"not ECDSA P-256, but ECDS": csrOf(t, other, same),
		"P-256, but Ed25519":        csrOf(t, edwards, same),
		`subject is "CN=n5"`:        csrOf(t, key, func(r *x509.CertificateRequest) { r.Subject.CommonName = "n5" }),
		`subject is "CN=n4,O=x"`: csrOf(t, key, func(r *x509.CertificateRequest) {
			r.Subject.Organization = []string{"x"}
		}),
		"node/n5":             csrOf(t, key, func(r *x509.CertificateRequest) { r.URIs[0].Path = "/node/n5" }),
		"DNS:more":            csrOf(t, key, func(r *x509.CertificateRequest) { r.DNSNames = []string{"more"} }),
		"IP:10.0.0.1":         csrOf(t, key, func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }),
		"email:a@b":           csrOf(t, key, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b"} }),
		"names [], not":       csrOf(t, key, func(r *x509.CertificateRequest) { r.URIs = nil }),
		"extension 2.5.29.19": csrOf(t, key, extension),
		"extension 2.5.29.15": csrOf(t, key, usage),
	} {
		crt, err := ca.Sign(csr, nodeRequest())
		if !errors.Is(err, certs.ErrSigningRequest) || !strings.Contains(err.Error(), says) || crt != nil {
			t.Errorf("%s: %v", says, err)
		}
	}
}
