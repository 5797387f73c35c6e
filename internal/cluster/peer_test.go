package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// knock tries an RPC connection with a certificate and reports whether the server lets it speak.
func knock(addr string, cfg *tls.Config) error {
	var d net.Dialer
	raw, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, cfg)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	// TLS 1.3 reports a refused client certificate at the first read. The server answers a ping.
	if _, err := conn.Write([]byte{0, 0, 0, 9, 5, 0, 0, 0, 0, 0, 0, 0, 7}); err != nil {
		return err
	}
	pong := make([]byte, 13)
	if _, err = io.ReadFull(conn, pong); err != nil {
		return err
	}
	if pong[4] != 6 || pong[12] != 7 {
		return fmt.Errorf("a ping was answered with %x", pong)
	}
	return nil
}

func TestPeerPortRefusesStrangers(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n1", nil)
	otherCA, err := certs.NewCA("other CA")
	if err != nil {
		t.Fatal(err)
	}
	node2 := []string{NodeURI(testCluster, "n2")}
	cases := []struct {
		name string
		ca   *certs.CA
		req  certs.Request
		ok   bool
	}{
		{"member", b.ca, certs.Request{URIs: node2, Client: true, Server: true}, true},
		{"wrong CA", otherCA, certs.Request{URIs: node2, Client: true, Server: true}, false},
		{"wrong cluster", b.ca, certs.Request{URIs: []string{NodeURI("elsewhere", "n2")}, Client: true, Server: true}, false},
		{"no member yet", b.ca, certs.Request{URIs: []string{NodeURI(testCluster, "n9")}, Client: true, Server: true}, true},
		{"client of the API", b.ca, certs.Request{CommonName: "n2", URIs: []string{"recount://" + testCluster + "/client/n2"}, Client: true}, false},
		{"no URI", b.ca, certs.Request{CommonName: "n2", DNS: []string{"n2"}, Client: true}, false},
		{"server use only", b.ca, certs.Request{URIs: node2, Server: true}, false},
		{"expired", b.ca, certs.Request{URIs: node2, Client: true, Validity: -time.Minute}, false},
	}
	for _, c := range cases {
		crt, key, err := c.ca.Issue(c.req)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(crt, key)
		if err != nil {
			t.Fatal(err)
		}
		cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnRPC}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
		if err := knock(b.voters[0].PeerAddr, cfg); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		cfg.MaxVersion = tls.VersionTLS12
		if knock(b.voters[0].PeerAddr, cfg) == nil {
			t.Errorf("%s: TLS 1.2 was taken", c.name)
		}
	}
	if knock(b.voters[0].PeerAddr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnRPC}}) == nil {
		t.Error("a connection without certificate was taken")
	}
}

// TestPeerClientRefusesImpostors lets n1 call a server that shows another certificate than that of n2.
func TestPeerClientRefusesImpostors(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c := b.start("n1", nil)
	otherCA, err := certs.NewCA("other CA")
	if err != nil {
		t.Fatal(err)
	}
	for name, issue := range map[string]struct {
		ca  *certs.CA
		req certs.Request
	}{
		"another node":    {b.ca, certs.Request{URIs: []string{NodeURI(testCluster, "n3")}, Server: true, Client: true}},
		"another cluster": {b.ca, certs.Request{URIs: []string{NodeURI("elsewhere", "n2")}, Server: true, Client: true}},
		"another CA":      {otherCA, certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Server: true, Client: true}},
		"client use only": {b.ca, certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Client: true}},
	} {
		crt, key, err := issue.ca.Issue(issue.req)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(crt, key)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{alpnRPC, alpnRaft}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := ln.Accept(); err == nil {
				_ = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}
		}()
		if conn, err := c.peer.dialTLS(t.Context(), Voter{"n2", ln.Addr().String()}, alpnRPC); err == nil {
			_ = conn.Close()
			t.Errorf("%s: taken for n2", name)
		}
		_ = ln.Close()
		<-done
	}
}

func TestHandshakeKeepsClustersApart(t *testing.T) {
	for _, c := range []struct {
		cluster, node string
		ok            bool
	}{{"a", "n1", true}, {"b", "n1", false}, {"a", "n2", false}} {
		near, far := net.Pipe()
		got := make(chan error, 1)
		go func() { got <- acceptHandshake(far, "a", "n1", "far", func(string) error { return nil }) }()
		_, err := offerHandshake(near, c.cluster, c.node, "near")
		if serr := <-got; (err == nil) != c.ok || (serr == nil) != c.ok {
			t.Errorf("%+v: client %v, server %v", c, err, serr)
		}
		_, _ = near.Close(), far.Close()
	}
	for _, bad := range []string{"", "RC", "XXXX\x01a\x02n1\x00", "RCR2", "RCR2\x05a", "RCR2\x01a\x09n1", "RCR2\x01a\x02n1", "RCR1\x01a\x02n1\x00"} {
		if _, err := readHandshake(strings.NewReader(bad), "a", "n1"); err == nil {
			t.Errorf("handshake %q was taken", bad)
		}
	}
}

// TestHandshakeOverTheWire refuses a Raft stream whose certificate is right and whose cluster id is not.
func TestHandshakeOverTheWire(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n1", nil)
	n2 := b.puppet("n2")
	conn, err := n2.c.peer.dialTLS(t.Context(), b.voters[0], alpnRaft)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var refused *refusedError
	if _, err := offerHandshake(conn, "elsewhere", "n2", n2.c.peer.roster.hello().String()); !errors.As(err, &refused) {
		t.Errorf("handshake of another cluster: %v", err)
	}
}

func TestOpenRefusesAForeignCertificate(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	if _, err := b.open("n1", func(c *Config) {
		c.TLS.Cert, c.TLS.Key = filepath.Join(b.dir, "tls", "n2.crt"), filepath.Join(b.dir, "tls", "n2.key")
	}); err == nil || !strings.Contains(err.Error(), `names node "n2"`) {
		t.Errorf("Open: %v", err)
	}
}

func TestConfigIsValidated(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	for name, change := range map[string]func(*Config){
		"no cluster": func(c *Config) { c.ClusterID = "" },
		"bad id":     func(c *Config) { c.ClusterID = "a/b" },
		"stranger":   func(c *Config) { c.NodeID = "n9" },
		"no dir":     func(c *Config) { c.Dir = "" },
		"twice":      func(c *Config) { c.Voters = append(c.Voters[:2:2], c.Voters[0]) },
		"bad addr":   func(c *Config) { c.Voters = []Voter{{"n1", "nowhere"}} },
	} {
		if _, err := b.open("n1", change); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCallsAndTheirErrors(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c1 := b.start("n1", nil)
	c2, err := b.open("n2", nil)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{}, 1)
	c2.Handle("/coded", func(context.Context, string, []byte) ([]byte, error) {
		return nil, fmt.Errorf("wrapped: %w", &RemoteError{"overloaded", "try later"})
	})
	c2.Handle("/plain", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("broken") })
	c2.Handle("/panic", func(context.Context, string, []byte) ([]byte, error) { panic("oops") })
	c2.Handle("/wait", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c2.Handle("/who", func(_ context.Context, from string, body []byte) ([]byte, error) {
		return append([]byte(from), body...), nil
	})
	if err := c2.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := short(t, 20*time.Second)
	big := bytes.Repeat([]byte("x"), 9<<20)
	if out, err := c1.Call(ctx, "n2", "/who", big); err != nil || !bytes.Equal(out, append([]byte("n1"), big...)) {
		t.Errorf("call: %d bytes, %v", len(out), err)
	}
	for path, code := range map[string]string{"/coded": "overloaded", "/plain": CodeInternal, "/panic": CodeInternal, "/none": CodeNoHandler} {
		for _, caller := range []*Cluster{c1, c2} { // c2 calls itself
			var remote *RemoteError
			if _, err := caller.Call(ctx, "n2", path, nil); !errors.As(err, &remote) || remote.Code != code || remote.Error() == "" {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if _, err := c1.Call(ctx, "n9", "/who", nil); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("unknown node: %v", err)
	}
	brief, cancel := context.WithCancel(ctx)
	go func() { <-entered; cancel() }()
	if _, err := c1.Call(brief, "n2", "/wait", nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call: %v", err)
	}
}

func TestCallReconnects(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	c1 := b.nodes["n1"].c
	echo := func() error { _, err := c1.Call(short(t, time.Second), "n2", "/echo", nil); return err }
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	b.net.set("n1", "n2", true)
	if err := echo(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cut: %v", err)
	}
	b.net.set("n1", "n2", false)
	until(t, "reconnected", func() bool { return echo() == nil })
	b.stop("n2")
	if err := echo(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("stopped: %v", err)
	}
	b.start("n2", nil)
	until(t, "reconnected after restart", func() bool { return echo() == nil })
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte("RCR2\x01a\x02n1\x00"))
	f.Add([]byte("RCR2\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := readHandshake(bytes.NewReader(in), "a", "n1"); err == nil && !bytes.HasPrefix(in, []byte("RCR2\x01a\x02n1")) {
			t.Errorf("%q was taken", in)
		}
	})
}

// TestSilentConnectionsKeepNobodyOut: connections that never say who they are do not keep a member waiting.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	b.start("n1", nil)
	crt, key, err := b.ca.Issue(certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Client: true, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	var silent []net.Conn
	for range 3 * maxHandshakes {
		conn, err := net.Dial("tcp", b.voters[0].PeerAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	began := time.Now()
	if err := knock(b.voters[0].PeerAddr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnRPC}, Certificates: []tls.Certificate{pair}}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= handshakeTimeout/2 {
		t.Errorf("a member waited for %v", took)
	}
	_ = silent[0].SetReadDeadline(time.Now().Add(handshakeTimeout / 2))
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest of too many is still open: %v", err)
	}
}
