package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakePort reloads by calling a function. Its certificate ends now.
type fakePort func() error

func (p fakePort) ReloadTLS() error        { return p() }
func (fakePort) CertificateEnd() time.Time { return time.Now() }

// TestReloaderWaitsForASteadyPair walks one reloader through its looks.
func TestReloaderWaitsForASteadyPair(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	put := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(cert, "1")
	put(key, "1")
	var fault error
	reads := 0
	r := NewReloader("api", slog.New(slog.DiscardHandler), cert, key, "")
	r.SetPort(fakePort(func() error { reads++; return fault }))
	step := func(what string, asked bool, wantReads, loaded, refused int) {
		t.Helper()
		r.look(asked)
		if reads != wantReads || r.Loaded() != uint64(loaded) || r.Refused() != uint64(refused) {
			t.Fatalf("%s: %d reads, %d loaded, %d refused", what, reads, r.Loaded(), r.Refused())
		}
	}
	step("nothing changed", false, 0, 0, 0)
	put(cert, "2")
	step("half of the pair is new", false, 0, 0, 0)
	put(key, "2")
	step("the other half", false, 0, 0, 0)
	step("steady", false, 1, 1, 0)
	step("in use", false, 1, 1, 0)
	fault = errors.New("bad")
	put(cert, "3")
	step("changed", false, 1, 1, 0)
	step("refused", false, 2, 1, 1)
	step("tried again without a word", false, 3, 1, 1)
	fault = errors.New("bad for another reason")
	step("another reason", false, 4, 1, 2)
	step("asked", true, 5, 1, 3)
	fault = nil
	step("mended by time", false, 6, 2, 3)
	step("asked without a change", true, 7, 3, 3)
	put(cert, "4")
	step("asked at once", true, 8, 4, 3)
	step("in use", false, 8, 4, 3)
}

// TestClientCertificates: the API asks for one, believes only the authorities of the setting, and takes none as well.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ours, other := authority(t, dir, "ours"), authority(t, dir, "other")
	files := ServerFiles{Cert: filepath.Join(dir, "api.crt"), Key: filepath.Join(dir, "api.key"), CA: filepath.Join(dir, "ours.crt")}
	crt, key, err := ours.Issue(Request{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true})
	if err == nil {
		err = WritePair(dir, "api", crt, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := NewServer(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if len(r.TLS.VerifiedChains) > 0 {
			who = r.TLS.VerifiedChains[0][0].URIs[0].String()
		}
		fmt.Fprint(w, who)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = port.Config()
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.CertPEM())
	uri, err := RoleURI("c1", "auditor", "anna")
	if err != nil {
		t.Fatal(err)
	}
	good := Request{URIs: []string{uri}, Client: true}
	expired, serverOnly := good, good
	expired.Validity, serverOnly.Client, serverOnly.Server = -time.Minute, false, true
	ask := func(ca *CA, r Request, sessions tls.ClientSessionCache) (string, error) {
		cfg := &tls.Config{RootCAs: pool, ClientSessionCache: sessions}
		if ca != nil {
			crt, key, err := ca.Issue(r)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(crt, key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return get(server.URL, cfg)
	}
	for _, c := range []struct {
		name string
		ca   *CA
		req  Request
		who  string // "" is refused
	}{
		{"none", nil, good, "nobody"}, {"ours", ours, good, uri}, {"another authority", other, good, ""},
		{"expired", ours, expired, ""}, {"for servers", ours, serverOnly, ""},
	} {
		if who, err := ask(c.ca, c.req, nil); who != c.who || (err == nil) != (c.who != "") {
			t.Errorf("%s: %q, %v", c.name, who, err)
		}
	}
	sessions := tls.NewLRUClientSessionCache(4)
	if who, err := ask(ours, good, sessions); who != uri {
		t.Fatalf("%q, %v", who, err)
	}
	if err := other.Save(dir, "ours"); err != nil {
		t.Fatal(err)
	}
	if err := port.ReloadTLS(); err != nil {
		t.Fatal(err)
	}
	if who, err := ask(ours, good, sessions); err == nil {
		t.Errorf("the authority is gone, yet its certificate gave %q", who)
	}
	if who, err := ask(other, good, nil); who != uri {
		t.Errorf("the new authority: %q, %v", who, err)
	}
	if err := os.WriteFile(files.CA, []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := port.ReloadTLS(); err == nil || !strings.Contains(err.Error(), files.CA) {
		t.Errorf("junk for authorities: %v", err)
	}
	if who, err := ask(other, good, nil); who != uri {
		t.Errorf("after junk: %q, %v", who, err)
	}
}

func authority(t *testing.T, dir, base string) *CA {
	t.Helper()
	ca, err := NewCA(base)
	if err == nil {
		err = ca.Save(dir, base)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func get(url string, cfg *tls.Config) (string, error) {
	tr := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var who string
	_, err = fmt.Fscan(resp.Body, &who)
	return who, err
}
