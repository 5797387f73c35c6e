package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signal is a port that reports each reload.
type signal chan struct{}

func (s signal) ReloadTLS() error          { s <- struct{}{}; return nil }
func (s signal) CertificateEnd() time.Time { return time.Now() }

// TestWatcher: Reload reads the files of every port, changed or not. Asking twice before Run looks is asking once. Files
// that change are read without asking.
func TestWatcher(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert")
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	api, peer := make(signal), make(signal)
	var ports []*Reloader
	for name, port := range map[string]signal{"api": api, "peer": peer} {
		r := NewReloader(name, slog.New(slog.DiscardHandler), path)
		r.SetPort(port)
		if r.Name() != name {
			t.Errorf("the port %s has the name %s", name, r.Name())
		}
		ports = append(ports, r)
	}
	both := func() {
		for range ports {
			select {
			case <-api:
			case <-peer:
			case <-time.After(20 * time.Second):
				t.Fatal("the files were not read")
			}
		}
	}
	w := NewWatcher()
	w.Reload()
	w.Reload() // must not block
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, ports...) }()
	both()
	if err := os.WriteFile(path, []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	both() // within two looks
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, r := range ports {
		if r.Loaded() != 2 || r.Refused() != 0 {
			t.Errorf("%s: %d loaded, %d refused", r.Name(), r.Loaded(), r.Refused())
		}
	}
}

// serverFiles writes a certificate with its key, and the authority of clients.
func serverFiles(t *testing.T, dir string, ca *CA, validity time.Duration) ServerFiles {
	t.Helper()
	crt, key, err := ca.Issue(Request{DNS: []string{"localhost"}, Server: true, Validity: validity})
	if err == nil {
		err = errors.Join(WritePair(dir, "api", crt, key), ca.Save(dir, "ca"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return ServerFiles{Cert: filepath.Join(dir, "api.crt"), Key: filepath.Join(dir, "api.key"),
		CA: filepath.Join(dir, "ca.crt")}
}

// TestServerFiles: a server starts only with files that it can use, names the one that it cannot, and warns of an expired
// certificate. A reload refuses an expired one, and keeps what it had after any error.
func TestServerFiles(t *testing.T) {
	ca, err := NewCA("ours")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(f ServerFiles) error
		want  string
	}{
		"no certificate": {func(f ServerFiles) error { return os.Remove(f.Cert) }, "api.crt"},
		"no key":         {func(f ServerFiles) error { return os.Remove(f.Key) }, "api.key"},
		"an open key":    {func(f ServerFiles) error { return os.Chmod(f.Key, 0o644) }, "api.key has mode 0644"},
		"another key":    {func(f ServerFiles) error { return os.Rename(strings.TrimSuffix(f.CA, "crt")+"key", f.Key) }, "with the key"},
		"no authorities": {func(f ServerFiles) error { return os.WriteFile(f.CA, nil, 0o644) }, "no certificate in it"},
		"a key among them": {func(f ServerFiles) error { return os.Rename(f.Key, f.CA) },
			"api.key"},
	} {
		files := serverFiles(t, t.TempDir(), ca, time.Hour)
		port, err := NewServer(files, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		end := port.CertificateEnd()
		if err := c.spoil(files); err != nil {
			t.Fatal(err)
		}
		if err := port.ReloadTLS(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: reload: %v, want %q", name, err, c.want)
		}
		if _, err := NewServer(files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: start: %v, want %q", name, err, c.want)
		}
		if port.CertificateEnd() != end {
			t.Errorf("%s: the server has another certificate", name)
		}
	}
	var warned bytes.Buffer
	dir := t.TempDir()
	files := serverFiles(t, dir, ca, -time.Minute)
	port, err := NewServer(files, slog.New(slog.NewTextHandler(&warned, nil)))
	if err != nil || !strings.Contains(warned.String(), "clients will refuse") {
		t.Errorf("expired at the start: %v, log: %s", err, &warned)
	}
	if err := port.ReloadTLS(); !errors.Is(err, ErrValidity) || !strings.Contains(err.Error(), files.Cert) {
		t.Errorf("expired at a reload: %v", err)
	}
	serverFiles(t, dir, ca, time.Hour)
	if err := port.ReloadTLS(); err != nil || time.Until(port.CertificateEnd()) < 59*time.Minute {
		t.Errorf("the new certificate: %v, it ends %v", err, port.CertificateEnd())
	}
}

// TestVerifyClientChain: only what the current authorities signed for clients counts, and nothing without authorities.
func TestVerifyClientChain(t *testing.T) {
	ours, err := NewCA("ours")
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA("other")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := serverFiles(t, dir, ours, time.Hour)
	port, err := NewServer(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	files.CA = ""
	open, err := NewServer(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	chain := func(ca *CA, r Request) []*x509.Certificate {
		crt, key, err := ca.Issue(r)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(crt, key)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{pair.Leaf}
	}
	client := Request{Client: true}
	for name, c := range map[string]struct {
		port  *Server
		chain []*x509.Certificate
		ok    bool
	}{
		"ours":              {port, chain(ours, client), true},
		"ours with more":    {port, append(chain(ours, client), chain(other, client)...), true},
		"another authority": {port, chain(other, client), false},
		"for servers":       {port, chain(ours, Request{Server: true}), false},
		"expired":           {port, chain(ours, Request{Client: true, Validity: -time.Minute}), false},
		"none":              {port, nil, false},
		"no authorities":    {open, chain(ours, client), false},
	} {
		if got := c.port.VerifyClientChain(c.chain); got != c.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := other.Save(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	if err := port.ReloadTLS(); err != nil {
		t.Fatal(err)
	}
	if port.VerifyClientChain(chain(ours, client)) || !port.VerifyClientChain(chain(other, client)) {
		t.Error("the authorities of before count")
	}
}

// TestCheckValid looks at a certificate before, in and after its time.
func TestCheckValid(t *testing.T) {
	begin := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	pair := tls.Certificate{Leaf: &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(time.Hour)}}
	for offset, want := range map[time.Duration]string{
		-time.Second: "it begins 2026-01-02T00:00:00Z", 0: "", time.Hour: "", time.Hour + time.Second: "it ended 2026-01-02T01:00:00Z",
	} {
		err := CheckValid(pair, begin.Add(offset))
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, ErrValidity) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", offset, err, want)
		}
	}
}
