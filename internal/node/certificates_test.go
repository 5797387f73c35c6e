package node_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// rotated is a cluster whose certificate files the test replaces. API and peer port of a node share one pair.
type rotated struct {
	*nodetest.Cluster
	t    *testing.T
	cfgs []node.Config
	ca   *certs.CA
	pool *x509.CertPool
}

func startRotated(t *testing.T, n int) *rotated {
	r := &rotated{t: t, pool: x509.NewCertPool()}
	r.Cluster = nodetest.Start(t, n, func(c *node.Config) { r.cfgs = append(r.cfgs, *c) })
	ca, err := certs.LoadCA(filepath.Dir(r.cfgs[0].API.Cert), "ca")
	if err != nil {
		t.Fatal(err)
	}
	r.ca = ca
	r.pool.AppendCertsFromPEM(ca.CertPEM())
	return r
}

func (r *rotated) issue(i int, change func(*certs.Request)) {
	r.t.Helper()
	id := r.cfgs[i].NodeID
	req := certs.Request{
		CommonName: id,
		IPs:        []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs:       []string{certs.NodeURI("nodetest", id)},
		Client:     true,
		Server:     true,
	}
	if change != nil {
		change(&req)
	}
	crt, key, err := r.ca.Issue(req)
	if err == nil {
		err = certs.WritePair(filepath.Dir(r.cfgs[i].API.Cert), id, crt, key)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// shown is the serial number of the certificate that a port of node i shows to a new connection.
func (r *rotated) shown(addr string, protocol string) (string, error) {
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != protocol {
		return "", fmt.Errorf("%s is not spoken there", protocol)
	}
	return state.PeerCertificates[0].SerialNumber.String(), nil
}

func (r *rotated) both(i int) (string, error) {
	api, err := r.shown(r.cfgs[i].API.Listen, "h2")
	if err != nil {
		return "", err
	}
	peer, err := r.shown(r.cfgs[i].Peer.Listen, "recount-raft/1")
	if err == nil && api != peer {
		err = errors.New("the ports show different certificates")
	}
	return api, err
}

// TestSuitesOfANode: a node speaks TLS 1.2 at its API port with authenticated encryption only, though its
// certificate and its authorities come anew for every handshake.
func TestSuitesOfANode(t *testing.T) {
	r := startRotated(t, 1)
	for suite, want := range map[uint16]bool{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: true, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: true,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: false, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: false,
	} {
		conn, err := tls.Dial("tcp", r.cfgs[0].API.Listen, &tls.Config{
			RootCAs:      r.pool,
			MaxVersion:   tls.VersionTLS12,
			CipherSuites: []uint16{suite},
		})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// metric reads one sample of node i, -1 when there is none.
func (r *rotated) metric(i int, sample string) float64 {
	_, page := r.Once(i, http.MethodGet, "/metrics", nil)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindSubmatch(page)
	if found == nil {
		return -1
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return -1
	}
	return v
}

// once sends one request without any repetition: an error of the connection counts.
func once(client *http.Client, method, url string, body []byte) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d: %s", resp.StatusCode, text)
	}
	return err
}

// load submits to and reads from every node until stop, over kept connections and over new ones, HTTP/1.1 and HTTP/2.
func (r *rotated) load() (served *atomic.Int64, stop func() []error) {
	records := nodetest.NewRecords(r.t)
	served = &atomic.Int64{}
	var mu sync.Mutex
	var failed []error
	var wg sync.WaitGroup
	end := make(chan struct{})
	for w := range 2 * len(r.cfgs) {
		fresh, i := w%2 == 1, w/2
		tr := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: r.pool},
			DisableKeepAlives: fresh,
			ForceAttemptHTTP2: i == 0,
		}
		client := &http.Client{Transport: tr, Timeout: opTime}
		wg.Go(func() {
			defer tr.CloseIdleConnections()
			base := "https://" + r.cfgs[i].API.Listen
			for n := int64(1); ; n++ {
				select {
				case <-end:
					return
				default:
				}
				rec := nodetest.Record{Shard: fmt.Sprintf("rotation-%d", w), Epoch: n, Root: "r"}
				err := errors.Join(once(client, http.MethodPost, base+"/v1/pcs/submit", records.Sign(rec)),
					once(client, http.MethodGet, base+"/v1/pcs/"+rec.ID(), nil))
				served.Add(2)
				if err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	return served, func() []error {
		close(end)
		wg.Wait()
		return failed
	}
}

// TestCertificateRotationUnderLoad replaces the certificates of all nodes again and again; not one request
// fails, and no node is asked to look.
func TestCertificateRotationUnderLoad(t *testing.T) {
	r := startRotated(t, 3)
	served, stop := r.load()
	const rounds = 3
	for range rounds {
		for i := range r.cfgs {
			before, err := r.both(i)
			if err != nil {
				t.Fatal(err)
			}
			r.issue(i, nil)
			r.Await("the new certificate", func() error {
				if now, err := r.both(i); err != nil || now == before {
					return fmt.Errorf("still %s, %v", now, err)
				}
				return nil
			})
		}
	}
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(failed), served.Load(), failed[0])
	}
	for i := range r.cfgs {
		for _, port := range []string{"api", "peer"} {
			if n := r.metric(i, `flk_tls_reloads_total{certificate="`+port+`",result="loaded"}`); n != rounds {
				t.Errorf("node %d: %s loaded %v times", i, port, n)
			}
			if n := r.metric(i, `flk_tls_reloads_total{certificate="`+port+`",result="refused"}`); n != 0 {
				t.Errorf("node %d: %s refused %v times", i, port, n)
			}
			if left := r.metric(i,
				`flk_tls_certificate_expiry_seconds{certificate="`+port+`"}`); left < 364*86400 || left > 366*86400 {
				t.Errorf("node %d: %s expires in %v s", i, port, left)
			}
		}
	}
	t.Logf("%d requests, %d rotations", served.Load(), rounds*len(r.cfgs))
	r.Check()
}

// TestBrokenCertificateFilesAreNotTaken: both ports go on with what they have, the log says which file, and a
// good pair is taken afterwards.
func TestBrokenCertificateFilesAreNotTaken(t *testing.T) {
	r := startRotated(t, 1)
	before, err := r.both(0)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		spoil func()
		says  string
	}{
		{func() { r.issue(0, func(q *certs.Request) { q.Validity = -time.Second }) }, "it ended"},
		{func() { must(t, os.WriteFile(r.cfgs[0].API.Cert, []byte("junk"), 0o644)) }, "failed to find any PEM data"},
		{func() { must(t, os.Remove(r.cfgs[0].API.Cert)) }, "no such file"},
	} {
		c.spoil()
		for _, port := range []string{"api", "peer"} {
			sample := `flk_tls_reloads_total{certificate="` + port + `",result="refused"}`
			r.Await(port+" refused", func() error {
				if n := r.metric(0, sample); n != float64(i+1) {
					return fmt.Errorf("%v refusals", n)
				}
				return nil
			})
		}
		if now, err := r.both(0); err != nil || now != before {
			t.Errorf("%s: %s instead of %s, %v", c.says, now, before, err)
		}
		if text := r.Logs(); strings.Count(text, c.says) != 2 || !strings.Contains(text, r.cfgs[0].API.Cert) {
			t.Errorf("the log says not twice, once per port, %q with the file:\n%s", c.says, text)
		}
	}
	r.issue(0, nil)
	r.Await("the good pair", func() error {
		if now, err := r.both(0); err != nil || now == before {
			return fmt.Errorf("%s, %v", now, err)
		}
		return nil
	})
	if _, err := tls.Dial("tcp", r.cfgs[0].API.Listen, &tls.Config{
		InsecureSkipVerify: true,
		MaxVersion:         tls.VersionTLS11,
	}); err == nil {
		t.Error("the API speaks TLS 1.1")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
