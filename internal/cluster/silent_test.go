package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/cluster/frames"
)

// TestResponseWithoutAHello: what a member answers counts only when it says which directory and voters it has. A
// node that claims to be new would otherwise take the answer for that of a member that never met it.
func TestResponseWithoutAHello(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	crt, key, err := b.ca.Issue(certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Server: true, Client: true})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	c := b.start("n1", nil)
	for name, s := range map[string]struct {
		hello func() string
		code  string // of a refusal
		is    error
		out   string
	}{
		"a hello":          {hello: func() string { return c.peer.roster.hello().String() }, out: "yes"},
		"no hello":         {is: errRefused},
		"a broken hello":   {hello: func() string { return "n2" }, is: errRefused},
		"too large before": {code: CodeTooLarge, is: &RemoteError{CodeTooLarge, "yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := frames.Response{Code: s.code, Body: []byte("yes")}
			if s.hello != nil {
				resp.Hello = s.hello()
			}
			addr := impostor(t, pair, resp)
			c.peer.foundMu.Lock()
			c.peer.found["n2"] = addr
			c.peer.foundMu.Unlock()
			p := newPeerClient(c.peer, "n2")
			defer p.close()
			out, err := p.call(short(t, 20*time.Second), pathTerm, nil)
			var remote, want *RemoteError
			switch {
			case errors.As(s.is, &want):
				if !errors.As(err, &remote) || *remote != *want {
					t.Errorf("%v", err)
				}
			case !errors.Is(err, s.is):
				t.Errorf("%v", err)
			}
			if string(out) != s.out {
				t.Errorf("%q was taken", out)
			}
			if name == "no hello" && (err == nil || !strings.Contains(err.Error(), "another release")) {
				t.Errorf("the error names no reason: %v", err)
			}
		})
	}
}

// impostor answers the calls of one connection with resp, whoever calls, and returns its address.
func impostor(t *testing.T, pair tls.Certificate, resp frames.Response) (addr string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{alpnRPC},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_ = frames.Serve(ctx, conn, func(context.Context, frames.Request) frames.Response { return resp })
	})
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}
