package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// Addresses of the machine itself. The proxies connect from the first, which the nodes trust; clients come from the others.
const (
	proxyAddr    = "127.0.0.1"
	straightAddr = "127.0.0.9"
	behindAddr   = "127.0.0.8"
	floodAddr    = "127.0.0.7"
)

// proxied is a cluster with what its proxies need.
type proxied struct {
	t    *testing.T
	ctx  context.Context
	c    *harness.Cluster
	src  *harness.Source
	dir  string
	site *certs.CA // signs the certificates that the proxies show
	pool *x509.CertPool
}

// proxyKind is one of the shipped configurations.
type proxyKind struct {
	name  string
	write func(p *proxied, dir string, port int, apiCA string) *exec.Cmd // the configuration below dir, and its process
}

var proxyKinds = []proxyKind{{"caddy", (*proxied).caddy}, {"nginx", (*proxied).nginx}}

// TestProxies runs the shipped configurations of Caddy and nginx in front of three nodes.
func TestProxies(t *testing.T) {
	var kinds []proxyKind
	for _, k := range proxyKinds {
		if _, err := exec.LookPath(k.name); err == nil {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) < len(proxyKinds) {
		t.Skip("needs caddy and nginx: apt-get install -y caddy nginx")
	}
	c, ctx := start(t, 3, "RECOUNT_TRUSTED_PROXIES="+proxyAddr)
	src, err := harness.NewSource(root)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{t: t, ctx: ctx, c: c, src: src, dir: t.TempDir(), pool: x509.NewCertPool()}
	if p.site, err = certs.NewCA("site"); err != nil {
		t.Fatal(err)
	}
	p.pool.AppendCertsFromPEM(p.site.CertPEM())
	apiCA, err := os.ReadFile(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.pool.AppendCertsFromPEM(apiCA)

	t.Run("straight to a node", func(t *testing.T) {
		p.on(t).remoteIs(p.from(straightAddr), c.API[0], straightAddr)
	})
	urls := map[string]string{}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			urls[k.name] = p.through(k)
			p.on(t).passes(urls[k.name])
			p.on(t).guards(urls[k.name])
			p.on(t).streams(urls[k.name])
		})
		t.Run(k.name+" checks the nodes", func(t *testing.T) { p.on(t).refusesOtherNodes(k) })
	}
	t.Run("nginx limits one address", func(t *testing.T) { p.on(t).limits(urls["nginx"]) })
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		t.Run(k.name+" without a node", func(t *testing.T) { p.on(t).survives(urls[k.name]) })
	}
}

// on is p for a subtest.
func (p *proxied) on(t *testing.T) *proxied {
	q := *p
	q.t = t
	return &q
}

func (p *proxied) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// from is a client whose connections come from an address of this machine.
func (p *proxied) from(addr string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	tr := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: p.pool}, ForceAttemptHTTP2: true}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Timeout: 30 * time.Second, Transport: tr}
}

// do sends one request as an operator of the dev cluster and gives the whole answer.
func (p *proxied) do(cl *http.Client, method, url string, body []byte, header ...string) (*http.Response, []byte) {
	p.t.Helper()
	resp := p.open(p.ctx, cl, method, url, body, header...)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	p.must(err)
	return resp, text
}

func (p *proxied) open(ctx context.Context, cl *http.Client, method, url string, body []byte, header ...string) *http.Response {
	p.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	p.must(err)
	req.Header.Set("Content-Type", wire.MediaJSON)
	req.Header.Set("Authorization", "Bearer "+p.token())
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := cl.Do(req)
	p.must(err)
	return resp
}

func (p *proxied) token() string {
	b, err := os.ReadFile(filepath.Join(p.c.Dir, "tokens", "operator.token"))
	p.must(err)
	return strings.TrimSpace(string(b))
}

// remoteIs submits with and without forged headers and looks up which address the ledger keeps.
func (p *proxied) remoteIs(cl *http.Client, base, want string) (nodes map[string]bool) {
	p.t.Helper()
	nodes = map[string]bool{}
	for _, forged := range [][]string{
		nil, {"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-For", proxyAddr}, {"X-Forwarded-For", "203.0.113.7, " + proxyAddr},
		{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-For", "203.0.113.8"}, {"X-Real-Ip", "203.0.113.7", "Forwarded", "for=203.0.113.7"},
	} {
		body, err := p.src.Next("proxies")
		p.must(err)
		resp, text := p.do(cl, http.MethodPost, base+"/v1/pcs/submit", body, forged...)
		var a wire.SubmitAnswer
		if resp.StatusCode != http.StatusOK || json.Unmarshal(text, &a) != nil || a.Seq == 0 {
			p.t.Fatalf("%v: %d %s", forged, resp.StatusCode, text)
		}
		nodes[resp.Header.Get(wire.HeaderNode)] = true
		resp, text = p.do(cl, http.MethodGet, base+"/v1/events/"+strconv.FormatUint(a.Seq, 10)+"?min_seq="+strconv.FormatUint(a.Seq, 10), nil)
		var e wire.EventAnswer
		if resp.StatusCode != http.StatusOK || json.Unmarshal(text, &e) != nil {
			p.t.Fatalf("event %d: %d %s", a.Seq, resp.StatusCode, text)
		}
		if sub, err := event.DecodeSubmission(e.Payload); err != nil || sub.Remote != want {
			p.t.Errorf("%v: the ledger keeps %q, not %q (%v)", forged, sub.Remote, want, err)
		}
	}
	return nodes
}

// passes submits, reads and lists through a proxy.
func (p *proxied) passes(base string) {
	p.t.Helper()
	cl := p.from(behindAddr)
	nodes := p.remoteIs(cl, base, behindAddr)
	if len(nodes) != len(p.c.API) {
		p.t.Errorf("answers came from %v, not from every node", nodes)
	}
	resp, text := p.do(cl, http.MethodGet, base+"/v1/audit?shard=proxies&limit=1000", nil, "Accept", "application/x-ndjson")
	if lines := bytes.Count(text, []byte("\n")); resp.StatusCode != http.StatusOK || lines < 7 || !bytes.Contains(text, []byte(`"trailer"`)) {
		p.t.Errorf("the list: %d, %d lines: %s", resp.StatusCode, lines, text)
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{RootCAs: p.pool, MinVersion: version, MaxVersion: version})
		if (err == nil) != ok {
			p.t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// guards tries what a proxy keeps away from the nodes.
func (p *proxied) guards(base string) {
	p.t.Helper()
	cl := p.from(behindAddr)
	if resp, text := p.do(cl, http.MethodGet, base+"/metrics", nil); resp.StatusCode != http.StatusNotFound {
		p.t.Errorf("metrics: %d %s", resp.StatusCode, text)
	}
	resp, text := p.do(cl, http.MethodPost, base+"/v1/pcs/submit", bytes.Repeat([]byte("x"), 3<<20))
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		p.t.Errorf("3 MiB: %d %s", resp.StatusCode, text)
	}
}

// refusesOtherNodes starts the proxy with another authority: it must not talk to the nodes.
func (p *proxied) refusesOtherNodes(k proxyKind) {
	p.t.Helper()
	other := filepath.Join(p.dir, k.name+"-other.crt")
	p.must(os.WriteFile(other, p.site.CertPEM(), 0o644))
	base := p.run(k, other)
	resp, text := p.do(p.from(behindAddr), http.MethodGet, base+"/v1/shards", nil)
	if resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get(wire.HeaderNode) != "" {
		p.t.Errorf("a proxy that trusts another authority answered %d from %q: %s", resp.StatusCode, resp.Header.Get(wire.HeaderNode), text)
	}
}

// limits sends more than the burst at once from one address; another address is not held back.
func (p *proxied) limits(base string) {
	p.t.Helper()
	body, err := p.src.Next("flood")
	p.must(err)
	cl := p.from(floodAddr)
	var mu sync.Mutex
	count := map[int]int{}
	var limited *http.Response
	var page []byte
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			resp, text := p.do(cl, http.MethodPost, base+"/v1/pcs/submit", body)
			mu.Lock()
			defer mu.Unlock()
			if count[resp.StatusCode]++; resp.StatusCode == http.StatusTooManyRequests {
				limited, page = resp, text
			}
		})
	}
	wg.Wait()
	if count[200] < 21 || count[429] == 0 || count[200]+count[429] != 300 {
		p.t.Fatalf("%v", count)
	}
	var problem wire.Problem
	if err := json.Unmarshal(page, &problem); err != nil || problem.Code != wire.CodeThrottled || problem.RetryAfterMS != 1000 ||
		limited.Header.Get("Retry-After") != "1" || limited.Header.Get("Content-Type") != wire.MediaProblem {
		p.t.Errorf("%v %v: %s", err, limited.Header, page)
	}
	p.remoteIs(p.from(behindAddr), base, behindAddr)
	p.t.Logf("%v", count)
}

// streams follows a generation that is built: the first event comes a second before the last one, on the same stream. A
// generation that is complete before the stream is open tells nothing, so that another one is built.
func (p *proxied) streams(base string) {
	p.t.Helper()
	r := newRecount(p.t, p.ctx, p.c)
	policy := r.publish(everyProfile)
	for range 5 {
		number := r.start(policy)
		at := p.follow(base, number)
		p.must(r.try(http.MethodDelete, fmt.Sprintf("/v1/generations/%d?op_id=drop-%d", number, time.Now().UnixNano()), nil, new(json.RawMessage)))
		if first, last := at["progress"], at["done"]; first > 0 {
			if last-first < 500*time.Millisecond {
				p.t.Errorf("the first event came after %s, held back until the last one, after %s", first, last)
			}
			p.t.Logf("the first event came after %s, the last one after %s", first, last)
			return
		}
	}
	p.t.Error("no generation was seen while it was built")
}

// follow reads a stream to its end and gives when the first event of each kind came.
func (p *proxied) follow(base string, number uint32) map[string]time.Duration {
	p.t.Helper()
	started := time.Now()
	resp := p.open(p.ctx, p.from(behindAddr), http.MethodGet, fmt.Sprintf("%s/v1/generations/%d/progress?consistency=linearizable", base, number), nil)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != wire.MediaEvents {
		p.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	at := map[string]time.Duration{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok && at[kind] == 0 {
			at[kind] = time.Since(started)
		}
	}
	if err := lines.Err(); err != nil || at["done"] == 0 {
		p.t.Errorf("the stream ended early: %v %v", at, err)
	}
	return at
}

// survives submits while one of the three nodes is gone: the client of the project repeats what a proxy could not pass.
func (p *proxied) survives(base string) {
	p.t.Helper()
	cc, err := client.New(client.Config{Endpoints: []string{base}, CA: p.site.CertPEM(), Token: p.token()})
	p.must(err)
	defer cc.Close()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	attempts := 0
	for range 30 {
		body, err := p.src.Next("survivors")
		p.must(err)
		r, err := cc.Submit(ctx, body)
		if err != nil || r.Status != http.StatusOK {
			p.t.Fatalf("%+v %v", r, err)
		}
		attempts += r.Attempts
	}
	p.t.Logf("30 records took %d requests", attempts)
}
