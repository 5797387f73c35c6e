package chart

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"

	syaml "sigs.k8s.io/yaml"
)

// authority issues the certificates of rendered Certificates, as cert-manager does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// certificate has the fields of a Certificate that the chart sets.
type certificate struct {
	Spec struct {
		SecretName, CommonName string
		IsCA                   bool
		URIs                   []string
		DNSNames               []string
		Usages                 []string
		Duration               string
		IssuerRef              struct{ Name string }
	}
}

// issue makes the Secret of a Certificate.
func (a *authority) issue(t *testing.T, c certificate) map[string][]byte {
	t.Helper()
	life, err := time.ParseDuration(c.Spec.Duration)
	key, bad := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err = errors.Join(err, bad); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: c.Spec.CommonName},
		DNSNames: c.Spec.DNSNames, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life)}
	for _, text := range c.Spec.URIs {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	for _, usage := range c.Spec.Usages {
		switch usage {
		case "server auth":
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		case "client auth":
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		case "digital signature":
			template.KeyUsage |= x509.KeyUsageDigitalSignature
		default:
			t.Fatalf("usage %q", usage)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return map[string][]byte{
		"tls.crt": text("CERTIFICATE", der),
		"tls.key": text("EC PRIVATE KEY", keyDER),
		"ca.crt":  text("CERTIFICATE", a.cert.Raw),
	}
}

// issueAll makes the Secrets of all rendered Certificates, each by the authority that it names.
func (c *cluster) issueAll(files map[string]string) (issued int) {
	authorities := map[string]*authority{}
	for _, o := range objects(c.t, files) {
		var cert certificate
		if err := syaml.Unmarshal(o.raw, &cert); err != nil {
			c.t.Fatal(err)
		}
		name := cert.Spec.IssuerRef.Name
		if o.kind != "Certificate" || cert.Spec.IsCA {
			continue
		}
		if authorities[name] == nil {
			authorities[name] = newAuthority(c.t)
		}
		c.secrets[cert.Spec.SecretName] = authorities[name].issue(c.t, cert)
		issued++
	}
	return issued
}
