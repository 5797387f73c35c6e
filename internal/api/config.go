package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

// Time limits of the server. The write limit is extended while a list is streamed.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 16 << 10
)

// Defaults of a Config, which are those of a node, too.
const (
	DefaultMaxBody        = 1 << 20                    // bytes
	DefaultThrottleStatus = http.StatusTooManyRequests // some agents drop records on it, see docs/agents.md
	DefaultSubmitTimeout  = 10 * time.Second
)

// Config configures a handler. Ledger, Logger and Registry must be set. Zero values of the other fields select
// the defaults given here.
type Config struct {
	Ledger Ledger
	Logger *slog.Logger
	// the handler registers its metrics here, and /metrics serves the whole registry
	Registry *prometheus.Registry

	TLS    *tls.Config // used by NewServer only; nil serves plain HTTP/1.1
	NodeID string      // sent as Recount-Node

	MaxBody int64 // bytes of a submission, default DefaultMaxBody
	// submissions per second of one address (IPv6: one /64), burst twice that; 0 is no limit
	AddressRate    float64
	ThrottleStatus int // 429 or 503, default DefaultThrottleStatus
	// An outcome that has not come by then, or up to 100 ms earlier, is unknown. Default DefaultSubmitTimeout,
	// below 25 s.
	SubmitTimeout time.Duration
	ProgressEvery time.Duration // interval between events of a progress stream, default 1 s
	ReadWait      time.Duration // bound on the wait of a read for its position, default 5 s, below 25 s

	Tails      int           // live tails at a time, default maxTails
	TailEvery  time.Duration // time without news after which a live tail gives a sign of life, default tailEvery
	StandEvery time.Duration // between two looks at the credentials of an answer that takes long, default standEvery
	TailSlow   time.Duration // time for one chunk, after which a reader of a live tail is too slow, default tailSlow

	NoAuth    bool   // disables authorization, for tests and closed networks
	ClusterID string // required in the URI of client certificates; if empty, none is accepted
	// reports whether the current authorities vouch for a client's chain, leaf first; nil: those of its
	// handshake do
	VerifyClientChain func([]*x509.Certificate) bool
	AuthFailures      int                    // failed authentications per address and minute; 0 or below is no limit
	Refused           func(RefusedOperation) // called for every rejected request; may be nil
	Leader            Leader                 // where operations are proposed; nil: always here

	MetricsUser, MetricsPass string // Basic Auth on /metrics when either is set
	// /metrics is not a route of this handler but has its own server, see NewMetricsServer
	MetricsApart   bool
	TrustedProxies []netip.Prefix // only these may name another client in X-Forwarded-For
	HideRemote     bool           // omits client addresses from log lines
	// called with every operation, done or rejected, after the response; may be nil
	Operations func(Operation)
	// number of requests with a complete body and no response yet; may be nil
	Deciding *atomic.Int64
	// Follow is called for every submission, with the values of its header traceparent. It returns nil for one that is
	// not traced. It is nil when none is
	Follow    func(traceparents []string, began time.Time) Trace
	WALErrors func() uint64 // failed writes of the event log, for flk_wal_errors; may be nil

	// Explain returns the problem for an error of the Ledger that would otherwise give status 500, or nil. It
	// may be nil.
	Explain func(error) *wire.Problem
}

var errConfig = errors.New("api config")

func (c Config) withDefaults() (Config, error) {
	if !c.Ledger.complete() || c.Logger == nil || c.Registry == nil {
		return c, fmt.Errorf("%w: every part of Ledger, Logger and Registry must be set", errConfig)
	}
	if c.Deciding == nil {
		c.Deciding = new(atomic.Int64)
	}
	setDefault(&c.MaxBody, DefaultMaxBody)
	setDefault(&c.ThrottleStatus, DefaultThrottleStatus)
	setDefault(&c.SubmitTimeout, DefaultSubmitTimeout)
	setDefault(&c.ReadWait, 5*time.Second)
	setDefault(&c.ProgressEvery, time.Second)
	setDefault(&c.Tails, maxTails)
	setDefault(&c.TailEvery, tailEvery)
	setDefault(&c.TailSlow, tailSlow)
	setDefault(&c.StandEvery, standEvery)
	if c.Explain == nil {
		c.Explain = func(error) *wire.Problem { return nil }
	}
	if c.WALErrors == nil {
		c.WALErrors = func() uint64 { return 0 }
	}
	switch longest := writeTimeout - 5*time.Second; {
	case c.MaxBody < 0:
		return c, fmt.Errorf("%w: MaxBody %d is negative", errConfig, c.MaxBody)
	case !(c.AddressRate >= 0 && c.AddressRate <= 1e9):
		return c, fmt.Errorf("%w: AddressRate %v is not in 0..1e9", errConfig, c.AddressRate)
	case c.ThrottleStatus != http.StatusTooManyRequests && c.ThrottleStatus != http.StatusServiceUnavailable:
		return c, fmt.Errorf("%w: ThrottleStatus %d is neither 429 nor 503", errConfig, c.ThrottleStatus)
	case c.SubmitTimeout < 0 || c.SubmitTimeout > longest || c.ReadWait < 0 || c.ReadWait > longest:
		return c, fmt.Errorf("%w: SubmitTimeout and ReadWait must be in 0..%s", errConfig, longest)
	}
	return c, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// NewServer returns a server with all limits set and the handler of NewHandler. The caller listens, serves
// (ServeTLS with empty file names if Config.TLS is set) and shuts it down. Shutdown ends streams of events.
func NewServer(cfg Config) (*http.Server, error) {
	stopping := make(chan struct{})
	handler, err := newHandler(cfg, stopping)
	if err != nil {
		return nil, err
	}
	server := limitedServer(cfg, handler)
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(stopping) })) // a server can be shut down twice
	return server, nil
}

// limitedServer returns a server with all limits set.
func limitedServer(cfg Config, handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.TLS != nil)
	return &http.Server{
		Handler:           handler,
		TLSConfig:         serverTLS(cfg.TLS),
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250},
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// aeadSuites are the suites that a server offers for TLS 1.2: forward secrecy and authenticated encryption. RFC
// 9113 (appendix A) forbids all others for HTTP/2. Those of TLS 1.3 cannot be configured.
var aeadSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// serverTLS copies cfg, raises the minimum version to TLS 1.2, allows AEAD suites only and offers HTTP/2. It
// does the same for the result of GetConfigForClient, which a handshake uses instead of cfg.
func serverTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return nil
	}
	out := cfg.Clone()
	out.MinVersion = max(out.MinVersion, tls.VersionTLS12)
	out.CipherSuites = aeadSuites
	for _, proto := range []string{"h2", "http/1.1"} {
		if !slices.Contains(out.NextProtos, proto) {
			out.NextProtos = append(out.NextProtos, proto)
		}
	}
	if forClient := cfg.GetConfigForClient; forClient != nil {
		out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := forClient(hello)
			return serverTLS(chosen), err
		}
	}
	return out
}
