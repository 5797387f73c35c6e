package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// serial connects from one node to another and gives the serial number of the certificate that the other one shows.
func (b *box) serial(from, to string) string {
	b.t.Helper()
	conn, err := b.nodes[from].c.peer.dialTLS(b.t.Context(), Voter{to, b.nodes[from].c.cfg.addrOf(to)}, alpnRPC)
	if err != nil {
		b.t.Fatalf("%s to %s: %v", from, to, err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func (b *box) reload() {
	b.t.Helper()
	for id, n := range b.nodes {
		if err := n.c.ReloadTLS(); err != nil {
			b.t.Fatalf("%s: %v", id, err)
		}
	}
}

func (b *box) authorities(all ...*certs.CA) {
	b.t.Helper()
	var text []byte
	for _, ca := range all {
		text = append(text, ca.CertPEM()...)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "ca.crt"), text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// watchedConn knows whether it was closed at this end or broke.
type watchedConn struct {
	net.Conn
	over atomic.Bool
}

func (w *watchedConn) Close() error { w.over.Store(true); return w.Conn.Close() }

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.over.Store(true)
	}
	return n, err
}

// watch makes every later connection between nodes a watched one.
func (b *box) watch(all *[]*watchedConn, mu *sync.Mutex) func(*Config) {
	return func(c *Config) {
		plain := c.dial
		c.dial = func(ctx context.Context, id, addr string) (net.Conn, error) {
			conn, err := plain(ctx, id, addr)
			if err != nil {
				return nil, err
			}
			w := &watchedConn{Conn: conn}
			mu.Lock()
			defer mu.Unlock()
			*all = append(*all, w)
			return w, nil
		}
	}
}

// restartWatched starts the nodes again, now that none is new, and connects each with each. connections returns the
// connections so far.
func (b *box) restartWatched() (leader *node, connections func() []*watchedConn) {
	b.t.Helper()
	b.leader()
	for _, v := range b.voters {
		b.stop(v.ID)
	}
	var mu sync.Mutex
	var conns []*watchedConn // without those of nodes that were new and asked others that did not run yet
	for _, v := range b.voters {
		b.start(v.ID, b.watch(&conns, &mu))
	}
	leader = b.leader()
	for _, v := range b.voters { // every pair of nodes has its connections before they are counted
		for _, w := range b.voters {
			if _, err := b.nodes[v.ID].c.Call(short(b.t, 5*time.Second), w.ID, "/echo", nil); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.propose(leader, "first")
	return leader, func() []*watchedConn {
		mu.Lock()
		defer mu.Unlock()
		return append([]*watchedConn(nil), conns...)
	}
}

// knockAs connects to addr with a certificate of a node that ca issues.
func (b *box) knockAs(ca *certs.CA, id, addr string) error {
	b.t.Helper()
	crt, key, err := ca.Issue(certs.Request{URIs: []string{NodeURI(testCluster, id)}, Client: true})
	if err != nil {
		b.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		b.t.Fatal(err)
	}
	return knock(addr, &tls.Config{
		InsecureSkipVerify: true,
		NextProtos:         []string{alpnRPC},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		},
	})
}

// TestRotationOfThePeerAuthority changes the authority and every certificate of a cluster under load, in the three steps of
// the manual. No call and no proposal fails, no connection is dropped, and afterwards the old authority is void.
func TestRotationOfThePeerAuthority(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	leader, connections := b.restartWatched()
	stop, served := b.load(leader)
	standing := connections()
	old := b.serial("n1", "n2")

	next, err := certs.NewCA("next CA")
	if err != nil {
		t.Fatal(err)
	}
	b.authorities(b.ca, next)
	b.reload()
	for _, v := range b.voters {
		b.issue(next, filepath.Join(b.dir, "tls"), v.ID, certs.Request{CommonName: v.ID, URIs: []string{NodeURI(testCluster, v.ID)}, Client: true, Server: true})
		if err := b.nodes[v.ID].c.ReloadTLS(); err != nil { // one node after the other: old and new certificates meet
			t.Fatal(err)
		}
		for _, w := range b.voters {
			if v != w {
				b.serial(v.ID, w.ID)
				b.serial(w.ID, v.ID)
			}
		}
	}
	b.authorities(next)
	b.reload()
	before := served.Load()
	until(t, "requests after the last step", func() bool { return served.Load() > before+100 })
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d requests failed, the first: %v", len(failed), failed[0])
	}
	for _, conn := range standing {
		if conn.over.Load() {
			t.Errorf("the connection to %s was dropped", conn.RemoteAddr())
		}
	}
	if fresh := b.serial("n1", "n2"); fresh == old {
		t.Error("n2 still shows its old certificate")
	}
	if b.knockAs(b.ca, "n2", b.voters[0].PeerAddr) == nil {
		t.Error("a certificate of the removed authority was taken")
	}
	t.Logf("%d requests, %d connections that stood all the time", served.Load(), len(standing))
}

// load calls and proposes until stop, which gives every error.
func (b *box) load(leader *node) (stop func() []error, served *atomic.Int64) {
	ctx, cancel := context.WithCancel(b.t.Context())
	served = &atomic.Int64{}
	var mu sync.Mutex
	var failed []error
	var wg sync.WaitGroup
	work := func(what string, f func(context.Context) error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				one, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				err := f(one)
				done()
				served.Add(1)
				if err != nil {
					mu.Lock()
					failed = append(failed, fmt.Errorf("%s: %w", what, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, v := range b.voters {
		for _, w := range b.voters {
			if v == w {
				continue
			}
			work(v.ID+" calls "+w.ID, func(ctx context.Context) error {
				_, err := b.nodes[v.ID].c.Call(ctx, w.ID, "/echo", []byte("x"))
				return err
			})
		}
	}
	work("proposal", func(ctx context.Context) error { _, err := leader.c.Propose([]byte("x")).Wait(ctx); return err })
	return func() []error {
		cancel()
		wg.Wait()
		return failed
	}, served
}

// badPeerFiles are ways to spoil the peer files of n2, with a part of the error and the file that it must name. both is
// the request of a good certificate.
func (b *box) badPeerFiles(both certs.Request) map[string]badPeerFile {
	b.t.Helper()
	otherCA, err := certs.NewCA("other CA")
	if err != nil {
		b.t.Fatal(err)
	}
	base, ca := filepath.Join(b.dir, "tls", "n2"), filepath.Join(b.dir, "ca.crt")
	with := func(change func(*certs.Request)) func() {
		return func() { r := both; change(&r); b.issue(b.ca, filepath.Dir(base), "n2", r) }
	}
	write := func(path, text string) func() {
		return func() {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	whole, err := os.ReadFile(ca)
	if err != nil {
		b.t.Fatal(err)
	}
	return map[string]badPeerFile{
		"expired":          {with(func(r *certs.Request) { r.Validity = -time.Minute }), "it ended", "n2.crt"},
		"another node":     {with(func(r *certs.Request) { r.URIs = []string{NodeURI(testCluster, "n3")} }), `names node "n3"`, "n2.crt"},
		"no member":        {with(func(r *certs.Request) { r.URIs = nil }), "names no member", "n2.crt"},
		"client use only":  {with(func(r *certs.Request) { r.Server = false }), "incompatible key usage", "n2.crt"},
		"server use only":  {with(func(r *certs.Request) { r.Client = false }), "incompatible key usage", "n2.crt"},
		"another CA":       {func() { b.issue(otherCA, filepath.Dir(base), "n2", both) }, "unknown authority", "n2.crt"},
		"key of another":   {func() { b.issue(b.ca, b.dir, "x", both); rename(b.t, filepath.Join(b.dir, "x.key"), base+".key") }, "does not match", "n2.key"},
		"no PEM":           {write(base+".crt", "junk"), "failed to find any PEM", "n2.crt"},
		"no file":          {func() { rename(b.t, base+".key", base+".gone") }, "no such file", "n2.key"},
		"no CA":            {write(ca, ""), "no certificate", "ca.crt"},
		"half a CA":        {write(ca, string(whole)+string(whole[:len(whole)/2])), "1 of 2 certificates are damaged", "ca.crt"},
		"a key for the CA": {func() { rename(b.t, filepath.Join(b.dir, "ca.key"), ca) }, "holds a PRIVATE KEY", "ca.crt"},
	}
}

type badPeerFile struct {
	spoil      func()
	says, file string
}

// TestReloadRefusesBadPeerFiles puts files in place that a node must not take. It keeps what it has, and the error names
// the file and the reason.
func TestReloadRefusesBadPeerFiles(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	old := b.serial("n1", "n2")
	both := certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Client: true, Server: true}
	good := func() {
		b.issue(b.ca, filepath.Join(b.dir, "tls"), "n2", both)
		if err := b.ca.Save(b.dir, "ca"); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range b.badPeerFiles(both) {
		good()
		c.spoil()
		err := b.nodes["n2"].c.ReloadTLS()
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s: %v", name, err)
		}
		if now := b.serial("n1", "n2"); now != old {
			t.Errorf("%s: the certificate changed all the same", name)
		}
	}
	good()
	if err := b.nodes["n2"].c.ReloadTLS(); err != nil || b.serial("n1", "n2") == old {
		t.Errorf("a good pair afterwards: %v", err)
	}
	if left := time.Until(b.nodes["n2"].c.CertificateEnd()); left < 364*24*time.Hour || left > 366*24*time.Hour {
		t.Errorf("expires in %s", left)
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestPeerClientRefusesAnExpiredCertificate: the dialling side looks at the time as well.
func TestPeerClientRefusesAnExpiredCertificate(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c := b.start("n1", nil)
	for name, validity := range map[string]time.Duration{"expired": -time.Minute, "valid": time.Hour} {
		crt, key, err := b.ca.Issue(certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Server: true, Client: true, Validity: validity})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(crt, key)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{alpnRPC}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := server.Accept(); err == nil {
				_ = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}
		}()
		conn, err := c.peer.dialTLS(t.Context(), Voter{"n2", ln.Addr().String()}, alpnRPC)
		if (err == nil) != (name == "valid") {
			t.Errorf("%s: %v", name, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
		_ = server.Close()
		<-done
	}
}

// TestCheckTLS reads the peer files as a start does: what other nodes would refuse is refused, with the name of the file.
func TestCheckTLS(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	own := certs.Request{URIs: []string{NodeURI(testCluster, "n1")}, Client: true, Server: true}
	other, err := certs.NewCA("other")
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(r *certs.Request)) certs.Request {
		r := own
		change(&r)
		return r
	}
	now := time.Now()
	for name, c := range map[string]struct {
		ca   *certs.CA
		req  certs.Request
		now  time.Time
		want string // a part of the error, "" for none
	}{
		"good":             {b.ca, own, now, ""},
		"another node":     {b.ca, with(func(r *certs.Request) { r.URIs = []string{NodeURI(testCluster, "n2")} }), now, `names node "n2"`},
		"another cluster":  {b.ca, with(func(r *certs.Request) { r.URIs = []string{NodeURI("x", "n1")} }), now, "names no member"},
		"another CA":       {other, own, now, "other nodes will refuse"},
		"servers only":     {b.ca, with(func(r *certs.Request) { r.Client = false }), now, "other nodes will refuse"},
		"clients only":     {b.ca, with(func(r *certs.Request) { r.Server = false }), now, "other nodes will refuse"},
		"expired by then":  {b.ca, own, now.Add(10 * 365 * 24 * time.Hour), ""}, // the caller looks at the dates itself
		"not yet, by then": {b.ca, own, now.Add(-10 * 365 * 24 * time.Hour), ""},
	} {
		b.issue(c.ca, filepath.Join(b.dir, "tls"), "n1", c.req)
		pair, err := CheckTLS(b.config("n1"), c.now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && pair.Leaf == nil {
			t.Errorf("%s: no certificate", name)
		}
	}
	cfg := b.config("n1")
	for file, at := range map[string]*string{"CA": &cfg.TLS.CA, "certificate": &cfg.TLS.Cert, "key": &cfg.TLS.Key} {
		was := *at
		*at = filepath.Join(b.dir, "nowhere")
		if _, err := CheckTLS(cfg, now); err == nil || !strings.Contains(err.Error(), *at) {
			t.Errorf("no %s: %v", file, err)
		}
		*at = was
	}
}
