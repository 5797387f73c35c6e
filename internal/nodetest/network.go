package nodetest

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// freePorts finds addresses below the range from which systems take the ports of outgoing connections, and below those
// of the clusters of processes in other tests, so that a stopped node finds its port free again.
func freePorts(t testing.TB, n int) []string {
	var out []string
	for tries := 0; len(out) < n; tries++ {
		if tries > 1000 {
			t.Fatal("no free ports")
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(12_000+rand.IntN(7_000))))
		if err != nil {
			continue
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
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
