package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// TestCrowdOfConnections: a member that opens more connections than a node needs loses its oldest ones, and keeps the
// newest.
func TestCrowdOfConnections(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c := b.start("n1", nil)
	crt, key, err := b.ca.Issue(certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Client: true, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	hello := c.peer.roster.hello()
	for alpn, limit := range map[string]int{alpnRPC: maxCallConns, alpnRaft: maxRaftStreams} {
		cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}, Certificates: []tls.Certificate{pair}}
		var conns []net.Conn
		for range limit + 2 {
			conn, err := tls.Dial("tcp", b.voters[0].PeerAddr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := greet(conn, alpn, hello.String()); err != nil {
				t.Fatalf("%s, connection %d: %v", alpn, len(conns)+1, err)
			}
			conns = append(conns, conn)
		}
		for i, conn := range conns {
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if i >= 2 {
				_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			}
			_, err := conn.Read(make([]byte, 1))
			if open := errors.Is(err, os.ErrDeadlineExceeded); open != (i >= 2) {
				t.Errorf("%s: connection %d of %d: %v", alpn, i+1, len(conns), err)
			}
		}
	}
}

// greet makes sure that the node at the other end has taken a connection.
func greet(conn net.Conn, alpn, hello string) error {
	if alpn == alpnRaft {
		_, err := offerHandshake(conn, testCluster, "n2", hello)
		return err
	}
	if _, err := conn.Write([]byte{0, 0, 0, 9, 5, 0, 0, 0, 0, 0, 0, 0, 7}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 13))
	return err
}

// TestCloseWaitsForHandlers: the stores that a handler reads are closed after the cluster, so no handler runs then.
func TestCloseWaitsForHandlers(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c1 := b.start("n1", nil)
	c2, err := b.open("n2", nil)
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	ended := false
	c2.Handle("/slow", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		<-release
		ended = true
		return nil, ctx.Err()
	})
	if err := c2.Start(); err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() { _, err := c1.Call(short(t, 20*time.Second), "n2", "/slow", nil); called <- err }()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- c2.Close(short(t, 20*time.Second)) }()
	if err := <-called; !errors.Is(err, ErrUnreachable) {
		t.Errorf("the call: %v", err)
	}
	select {
	case err := <-closed:
		closed <- err
		t.Error("closed with a handler that runs")
	case <-time.After(300 * time.Millisecond):
	}
	close(release)
	if err := <-closed; err != nil || !ended {
		t.Errorf("%v, the handler has ended: %v", err, ended)
	}
}
