package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// full is a device without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLostOutput: a command whose output is lost does not say that it is done.
func TestLostOutput(t *testing.T) {
	dir := dev(t, newNode(t))
	keys := t.TempDir()
	good := write(t, filepath.Join(keys, "good"), `{"x":1}`+"\n")
	for i, args := range [][]string{{"keygen", "hmac", "--out", filepath.Join(keys, "a")},
		{"keygen", "ed25519", "--out", filepath.Join(keys, "b")}, {"version"}, {"--help"}, {"completion", "bash"},
		{"shard", "list", "--dev", dir}, {"get", someID, "--dev", dir}, {"digest", "--dev", dir}, {"audit", "--dev", dir},
		{"submit", good, "--dev", dir}, {"policy", "--help"}, {"cluster", "status", "--dev", dir}} {
		var errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: full{}, err: &errs, env: func(string) string { return "" }}
		if code := a.run(t.Context(), args); code == exitOK ||
			i != 9 && !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%v: exit %d %s", args, code, &errs)
		}
	}
}

// TestInterruptedWhileWaiting: a signal ends a command that waits for its input, whose end may never come.
func TestInterruptedWhileWaiting(t *testing.T) {
	dir := dev(t, newNode(t))
	key := write(t, filepath.Join(t.TempDir(), "key"), testHMAC)
	for _, args := range [][]string{{"submit", "-", "--dev", dir}, {"sign", "--key-file", key},
		{"sign", "--verify", "--key-file", key, "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		in, open := io.Pipe()
		waits := &announced{from: in, at: make(chan struct{}, 1)}
		var errs bytes.Buffer
		a := &app{in: waits, out: io.Discard, err: &errs, env: func(string) string { return "" }}
		done := make(chan int)
		go func() { done <- a.run(ctx, args) }()
		<-waits.at
		cancel()
		select {
		case code := <-done:
			if code == exitOK || !strings.Contains(errs.String(), "interrupted") {
				t.Errorf("%v: exit %d %s", args, code, &errs)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%v: still waiting", args)
		}
		_ = open.Close()
	}
}

// announced is a reader that signals when somebody waits for a read.
type announced struct {
	from io.Reader
	at   chan struct{}
}

func (a *announced) Read(p []byte) (int, error) {
	select {
	case a.at <- struct{}{}:
	default:
	}
	return a.from.Read(p)
}

// TestHiddenCharacters: what changes the direction of a text or cannot be seen is written out, so that a record
// cannot forge a row.
func TestHiddenCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"a\u202eb":       `a\u202eb`,
		"a\u2066b\u2069": `a\u2066b\u2069`,
		"a\u200bb":       `a\u200bb`,
		"a\u2028b\u2029": `a\u2028b\u2029`,
		"\ufeffa":        `\ufeffa`,
		"a\x1b[1m":       "a.[1m",
		"é 日本 😀":         "é 日本 😀",
		"a\u0085b":       "a.b",
		"a\U000e0041b":   `a\ue0041b`,
		"a\u00adb":       `a\u00adb`,
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := visible("a\nb\tc\x1b\u202e"); got != "a\nb\tc\\u001b\\u202e" {
		t.Errorf("%q", got)
	}
}

// TestTokenFiles: a file that cannot be a token is wrong usage, before anything is sent.
func TestTokenFiles(t *testing.T) {
	dir := dev(t, newNode(t))
	for _, text := range []string{"rct_a\nrct_b\n", "", "\n", "two words", "a\x00b", "\xef\xbb\xbfrct_a"} {
		path := write(t, filepath.Join(t.TempDir(), "token"), text)
		if r := run(t, "", "shard", "list", "--dev", dir, "--token-file", path); r.code != exitUsage ||
			!strings.Contains(r.err, "--token-file") {
			t.Errorf("%q: %+v", text, r)
		}
	}
	empty := write(t, filepath.Join(t.TempDir(), "ca"), "\n")
	if r := run(t, "", "shard", "list", "--dev", dir, "--ca", empty); r.code != exitUsage || !strings.Contains(r.err, "--ca") {
		t.Errorf("an empty --ca would trust every authority of the machine: %+v", r)
	}
}

// TestCertificateHints: what is wrong with a certificate decides what is to be done.
func TestCertificateHints(t *testing.T) {
	n := newNode(t)
	ca := filepath.Join(dev(t, n), "ca.pem")
	plainHTTP := "http://" + strings.TrimPrefix(n.server.URL, "https://")
	if r := run(t, "", "shard", "list", "--endpoint", plainHTTP); r.code == exitOK || r.code == exitRejected ||
		!strings.Contains(r.err, "write https://") {
		t.Errorf("http to a TLS port: %+v", r)
	}
	plain := httptest.NewServer(n)
	defer plain.Close()
	noTLS := "https://" + strings.TrimPrefix(plain.URL, "http://")
	if r := run(t, "", "shard", "list", "--endpoint", noTLS, "--ca", ca); r.code == exitOK ||
		!strings.Contains(r.err, "does not speak TLS") {
		t.Errorf("https to a port without TLS: %+v", r)
	}
	expired, expiredCA := withCertificate(t, n, time.Now().Add(-time.Hour))
	if r := run(t, "", "shard", "list", "--endpoint", expired, "--ca", expiredCA); r.code == exitOK ||
		!strings.Contains(r.err, "Renew the node's certificate") {
		t.Errorf("expired: %+v", r)
	}
	good, _ := withCertificate(t, n, time.Now().Add(time.Hour))
	for _, endpoints := range [][]string{{good, n.server.URL}, {n.server.URL, good}, {good, expired, n.server.URL}} {
		args := []string{"shard", "list", "--ca", ca}
		for _, e := range endpoints {
			args = append(args, "--endpoint", e)
		}
		if r := run(t, "", args...); r.code != exitOK {
			t.Errorf("%v: another node answers: %+v", endpoints, r)
		}
	}
}

// withCertificate serves n under a self-signed certificate of its own and returns its address and the file to
// trust it with.
func withCertificate(t *testing.T, n *node, until time.Time) (url, ca string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             until.Add(-24 * time.Hour),
		NotAfter:              until,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(n)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, write(t, filepath.Join(t.TempDir(), "ca.pem"), pemOf(der))
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
