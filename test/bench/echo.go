package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/pcs"
)

// startEcho runs the bare handler in a process of its own.
func startEcho(dir string) (*child, *target, error) {
	ca, err := makeCA(dir)
	if err != nil {
		return nil, nil, err
	}
	err = issue(ca, filepath.Join(dir, "echo"), certs.Request{CommonName: "localhost", DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true})
	if err != nil {
		return nil, nil, err
	}
	c, err := spawn("echo", dir)
	if err != nil {
		return nil, nil, err
	}
	var addr string
	if err := c.hear(&addr); err != nil {
		c.stop()
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM())
	return c, &target{addrs: []string{addr}, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13, ServerName: "localhost"}}, nil
}

// serveEcho is the sub-command: strict decoding and status 200, nothing else.
func serveEcho(dir string) error {
	e := echo.New()
	e.POST("/v1/pcs/submit", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		if rec := pcs.DecodeGeneral(body); rec.Fault != nil {
			return c.String(http.StatusBadRequest, rec.Fault.Error())
		}
		return c.JSON(http.StatusOK, struct {
			Accepted bool `json:"accepted"`
		}{true})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
	}()
	if err := say(l.Addr().String()); err != nil {
		return err
	}
	err = srv.ServeTLS(l, filepath.Join(dir, "echo.pem"), filepath.Join(dir, "echo-key.pem"))
	if err == http.ErrServerClosed {
		return nil
	}
	return err
}
