package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/secretfile"
)

func newCA(t *testing.T) *certs.CA {
	t.Helper()
	ca, err := certs.NewCA("test CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestIssueAndVerify(t *testing.T) {
	ca := newCA(t)
	crt, key, err := ca.Issue(certs.Request{
		CommonName: "n1", DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs: []string{"recount://c1/node/n1"}, Server: true, Validity: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca.CertPEM()) {
		t.Fatal("the CA is not PEM")
	}
	leaf := pair.Leaf
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a server certificate works for clients")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "recount://c1/node/n1" || leaf.Subject.CommonName != "n1" {
		t.Errorf("URIs %v, name %q", leaf.URIs, leaf.Subject.CommonName)
	}
	if left := time.Until(leaf.NotAfter); left > time.Hour || left < 50*time.Minute {
		t.Errorf("valid for %s", left)
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := newCA(t)
	if _, _, err := ca.Issue(certs.Request{CommonName: "x"}); err == nil {
		t.Error("a certificate without use was issued")
	}
	if _, _, err := ca.Issue(certs.Request{Client: true, URIs: []string{":bad"}}); err == nil {
		t.Error("a bad URI was taken")
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	ca := newCA(t)
	if err := ca.Save(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	loaded, err := certs.LoadCA(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	if string(loaded.CertPEM()) != string(ca.CertPEM()) {
		t.Error("another certificate came back")
	}
	if _, _, err := loaded.Issue(certs.Request{Client: true}); err != nil {
		t.Error(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	a, b := newCA(t), newCA(t)
	for base, ca := range map[string]*certs.CA{"a": a, "b": b} {
		if err := ca.Save(dir, base); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	leaf, leafKey, err := a.Issue(certs.Request{Client: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"mixed":   {read("a.crt"), read("b.key")},
		"no PEM":  {[]byte("x"), read("a.key")},
		"bad key": {read("a.crt"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")},
		"no CA":   {leaf, leafKey},
	} {
		if err := certs.WritePair(dir, "bad", pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.LoadCA(dir, "bad"); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	if _, err := certs.LoadCA(dir, "none"); err == nil {
		t.Error("a missing CA was loaded")
	}
}

func TestACertificateDoesNotOutliveItsAuthority(t *testing.T) {
	ca, err := certs.NewCAFor("short", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Issue(certs.Request{Client: true, Validity: 2 * time.Hour}); !errors.Is(err, certs.ErrOutlives) {
		t.Errorf("issued: %v", err)
	}
	if _, _, err := ca.Issue(certs.Request{Client: true, Validity: time.Minute}); err != nil {
		t.Error(err)
	}
}

func TestRoleURI(t *testing.T) {
	if u, err := certs.RoleURI("c1", "auditor", "anna"); err != nil || u != "recount://c1/role/auditor/anna" {
		t.Errorf("%s, %v", u, err)
	}
	for _, bad := range [][3]string{{"c/1", "auditor", "a"}, {"c1", "root", "a"}, {"c1", "auditor", ""}, {"c1", "auditor", "a b"}, {"", "auditor", "a"}} {
		if u, err := certs.RoleURI(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v gave %s", bad, u)
		}
	}
}

// TestReadPairLooksAtTheMode: a key that others can read is refused at every reading.
func TestReadPairLooksAtTheMode(t *testing.T) {
	dir := t.TempDir()
	crt, key, err := newCA(t).Issue(certs.Request{CommonName: "x", DNS: []string{"x"}, Server: true})
	if err == nil {
		err = certs.WritePair(dir, "x", crt, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		_, err := certs.ReadPair(filepath.Join(dir, "x.crt"), filepath.Join(dir, "x.key"))
		return err
	}
	if err := read(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "x.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, secretfile.ErrMode) {
		t.Errorf("%v", err)
	}
}

// TestWritePairReplacesWhole: the key of a node stays its owner's, and nothing is left beside the pair.
func TestWritePairReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "n.key"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := certs.WritePair(dir, "n", []byte("cert"), []byte("key")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"n.key": 0o600, "n.crt": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}
