// Package client is the Go client of a Recount ledger. It talks to any number of nodes of one cluster over
// HTTPS, spreads requests over them, and moves to another node when one fails. It repeats a request, always
// with the same bytes, until it has a response or the context ends.
//
//	c, err := client.New(client.Config{Endpoints: []string{"https://node1:9440", "https://node2:9440"}})
//	...
//	result, err := c.Submit(ctx, record)
//	switch {
//	case err == nil:                                  // accepted or escalated
//	case errors.Is(err, client.ErrRejected):          // repeating gives the same response
//	case errors.Is(err, client.ErrOutcomeUnknown):    // perhaps committed, sending again is safe
//	}
//
// SubmitBatch submits many records in few requests and gives each of them the response that Submit would.
//
// The client repeats only requests that a repetition can help: after 429, 503, 504, the 502 of a proxy and
// network errors. It does not follow redirects and never sends a token over plain HTTP to another machine. If a
// submission may have been committed but no response came, the error is ErrOutcomeUnknown, never a refusal.
package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Balance determines the endpoint at which a request starts.
type Balance uint8

// The ways to choose an endpoint.
const (
	RoundRobin Balance = iota // each request starts at the next endpoint
	Failover                  // each request starts at the first endpoint that is not backing off
)

// Config configures a Client. Only Endpoints is required.
type Config struct {
	Endpoints []string // base URLs, "https://host:9440"
	CA        []byte   // PEM certificates to trust instead of the system's
	Token     string   // bearer token, sent with every request; takes precedence over a certificate
	Cert      []byte   // PEM certificate (and chain) of the client, nil for none
	CertKey   []byte   // its private key, PEM
	Balance   Balance

	Consistency string // for reads that do not set theirs; empty for the default of each route

	AttemptTimeout time.Duration // bound on one attempt, default 15 s; the context bounds the whole call
	// first pause before an endpoint is tried again, default 50 ms, doubled each time
	MinBackoff time.Duration
	MaxBackoff time.Duration // longest pause, default 2 s; a Retry-After may ask for more
	MaxConns   int           // kept-alive connections per endpoint, default 256
	HTTP2      bool          // default HTTP/1.1, which is faster with many connections
	UserAgent  string

	Slow      func(Slow)    // called while a call is slow: after SlowAfter, then after twice as long and so on
	SlowAfter time.Duration // default 2 s
}

// Slow describes a slow call and the endpoint that it is waiting for.
type Slow struct {
	Endpoint   string
	Number, Of int           // of the endpoint among all endpoints of the client
	Elapsed    time.Duration // of the whole call
}

// Client is safe for concurrent use. Close it when done.
type Client struct {
	cfg       Config
	endpoints []*endpoint
	next      *atomic.Uint64
	http      *http.Client
	maxAnswer int64         // bytes of a response, maxAnswer but in tests
	silence   time.Duration // of a stream before it counts as cut, tailSilence but in tests
}

// endpoint is one node and its known health.
type endpoint struct {
	url       string
	fails     atomic.Int32
	notBefore atomic.Int64 // ns since 1970
}

// ErrConfig is wrapped by every error of New.
var ErrConfig = errors.New("client configuration")

// New checks cfg and returns a client. It opens no connection. Errors wrap ErrConfig.
func New(cfg Config) (*Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, fmt.Errorf("%w: no endpoint given", ErrConfig)
	}
	cfg.setDefaults()
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, fmt.Errorf("%w: the token has blanks, line ends or other characters that no token has", ErrConfig)
	}
	c := &Client{cfg: cfg, next: new(atomic.Uint64), maxAnswer: maxAnswer, silence: tailSilence}
	for _, text := range cfg.Endpoints {
		base, err := checkEndpoint(text, cfg.Token != "")
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, &endpoint{url: base})
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.AttemptTimeout, 15 * time.Second}, {&c.MinBackoff, 50 * time.Millisecond},
		{&c.MaxBackoff, 2 * time.Second}, {&c.SlowAfter, 2 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 256
	}
	if c.UserAgent == "" {
		c.UserAgent = "recount-go-client"
	}
}

// checkEndpoint returns the base URL without a final slash.
func checkEndpoint(text string, token bool) (string, error) {
	u, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://"):
		return "",
			fmt.Errorf("%w: endpoint %q has no scheme; it must be of the form https://host:port, such as %q",
				ErrConfig, text, "https://"+text)
	case err != nil:
		return "", fmt.Errorf("%w: endpoint %q: %w", ErrConfig, text, err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", fmt.Errorf("%w: endpoint %q is not of the form https://host:port", ErrConfig, text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%w: endpoint %q must be a base URL without user, query or fragment", ErrConfig,
			u.Redacted())
	case token && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", fmt.Errorf("%w: endpoint %q would carry the token unencrypted; use https", ErrConfig, text)
	}
	return strings.TrimRight(text, "/"), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newTransport(cfg Config) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(256)}
	if len(cfg.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return nil, fmt.Errorf("%w: the CA file holds no PEM certificate", ErrConfig)
		}
	}
	if len(cfg.Cert) > 0 || len(cfg.CertKey) > 0 {
		pair, err := tls.X509KeyPair(cfg.Cert, cfg.CertKey)
		if err != nil {
			return nil, fmt.Errorf("%w: client certificate: %w", ErrConfig, err)
		}
		tlsConfig.Certificates = []tls.Certificate{pair}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.HTTP2)
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 5 * time.Second,
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: cfg.MaxConns,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      8 << 10,
		WriteBufferSize:     8 << 10,
	}, nil
}

// Endpoints returns the base URLs in the order given.
func (c *Client) Endpoints() []string {
	urls := make([]string, len(c.endpoints))
	for i, e := range c.endpoints {
		urls[i] = e.url
	}
	return urls
}

// At returns a client for the i-th endpoint alone. It shares connections and known health.
func (c *Client) At(i int) *Client {
	one := *c
	one.endpoints = c.endpoints[i : i+1]
	return &one
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
