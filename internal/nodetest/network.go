package nodetest

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/recount-ledger/recount/internal/freeport"
)

// freePorts finds addresses that no other cluster of this process or of another test uses.
func freePorts(t testing.TB, n int) []string {
	t.Helper()
	out, err := freeport.Addresses(n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// HTTPFrom is a client that trusts the cluster and comes from a loopback address such as 127.0.0.7, so that one
// test has many addresses. It repeats nothing. Its idle connections end with the test.
func (c *Cluster) HTTPFrom(address string) *http.Client {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{
		DialContext:         from.DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: c.pool},
		MaxIdleConnsPerHost: 64,
	}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: patience, Transport: transport}
}

// FreePort finds a loopback address for one more listener.
func FreePort(t testing.TB) string { return freePorts(t, 1)[0] }
