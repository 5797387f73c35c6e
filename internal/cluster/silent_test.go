package cluster

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
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
			member := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if s.hello != nil {
					w.Header().Set(helloName, s.hello())
				}
				if s.code != "" {
					w.Header().Set(errorCode, s.code)
					w.WriteHeader(http.StatusRequestEntityTooLarge)
				}
				_, _ = w.Write([]byte("yes"))
			}))
			member.EnableHTTP2 = true
			member.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{alpnRPC}}
			member.StartTLS()
			defer member.Close()
			p := newPeerClient(c.peer, Voter{ID: "n2", PeerAddr: member.Listener.Addr().String()})
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
