package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// ServerFiles name the PEM files of a TLS server.
type ServerFiles struct {
	Cert string
	Key  string
	CA   string // authorities of clients that show a certificate; "" asks for none
}

// Server holds the TLS settings of the API port. Its files can be read again while it serves.
type Server struct {
	files   ServerFiles
	current atomic.Pointer[serverState]
}

// serverState holds what one reading of the files gave. It is replaced whole, never changed.
type serverState struct {
	config *tls.Config
	pair   tls.Certificate
}

// NewServer reads the files. It serves an expired certificate all the same, with a warning: a client that
// insists does not connect, and the others can still read.
func NewServer(files ServerFiles, log *slog.Logger) (*Server, error) {
	a := &Server{files: files}
	s, err := a.read()
	if err != nil {
		return nil, err
	}
	if err := CheckValid(s.pair, time.Now()); err != nil {
		log.Warn("clients will refuse the API certificate", "file", files.Cert, "error", err)
	}
	a.current.Store(s)
	return a, nil
}

func (a *Server) read() (*serverState, error) {
	pair, err := ReadPair(a.files.Cert, a.files.Key)
	if err != nil {
		return nil, fmt.Errorf("API certificate: %w", err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if a.files.CA == "" {
		return &serverState{config, pair}, nil
	}
	if config.ClientCAs, err = ReadPool(a.files.CA); err != nil {
		return nil, fmt.Errorf("authorities of API clients: %w", err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.SessionTicketsDisabled = true // every connection is judged by the authorities that count now
	return &serverState{config, pair}, nil
}

// ReloadTLS reads the files again. New connections use them. On an error, or when the certificate is not valid now, the
// earlier ones stay in use.
func (a *Server) ReloadTLS() error {
	s, err := a.read()
	if err != nil {
		return err
	}
	if err := CheckValid(s.pair, time.Now()); err != nil {
		return fmt.Errorf("API certificate: %s: %w", a.files.Cert, err)
	}
	a.current.Store(s)
	return nil
}

// VerifyClientChain reports whether the current authorities vouch for the chain of a client, leaf first.
func (a *Server) VerifyClientChain(chain []*x509.Certificate) bool {
	roots := a.current.Load().config.ClientCAs
	if roots == nil || len(chain) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// CertificateEnd returns when the certificate in use expires.
func (a *Server) CertificateEnd() time.Time { return a.current.Load().pair.Leaf.NotAfter }

// Config returns the settings for a listener. Every handshake uses the files that were read last.
func (a *Server) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.current.Load().config, nil },
	}
}
