package node

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// lookEvery is the time between two looks at the certificate files.
const lookEvery = time.Second

// rotation follows the files of one TLS port. It reloads when their content has changed and was the same at two looks, so
// that a pair that is being replaced is not taken half-way. What was refused is tried at every later look, since time or a
// permission may mend it, but said and counted only once.
type rotation struct {
	port   string // api or peer: the label
	files  []string
	reload func() error // keeps what it has when it fails
	end    func() time.Time
	log    *slog.Logger

	seen, done [sha256.Size]byte // content at the last look, and that in use
	complaint  string            // why the content at seen was refused

	loaded, refused atomic.Uint64
}

// newRotation remembers what the files hold before they are read for the first time.
func newRotation(port string, log *slog.Logger, files ...string) *rotation {
	r := &rotation{port: port, log: log}
	for _, f := range files {
		if f != "" {
			r.files = append(r.files, f)
		}
	}
	r.seen = r.content()
	r.done = r.seen
	return r
}

// content is a digest of all files; a file that cannot be read counts as its error.
func (r *rotation) content() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range r.files {
		text, err := os.ReadFile(f)
		fmt.Fprintf(h, "%d %v\n", len(text), err)
		h.Write(text)
	}
	h.Sum(sum[:0])
	return sum
}

// look reloads when there is reason to; asked does so at once, and when nothing has changed too.
func (r *rotation) look(asked bool) {
	now := r.content()
	steady := now == r.seen
	r.seen = now
	if !steady {
		r.complaint = ""
	}
	if !asked && (!steady || now == r.done) {
		return
	}
	if err := r.reload(); err != nil {
		if asked || err.Error() != r.complaint {
			r.refused.Add(1)
			r.log.Warn("certificate files are not taken, the earlier ones stay in use", "port", r.port, "error", err)
		}
		r.complaint = err.Error()
		return
	}
	r.done, r.complaint = now, ""
	r.loaded.Add(1)
	r.log.Info("certificate files loaded, new connections use them", "port", r.port, "not_after", r.end().UTC().Format(time.RFC3339))
}

func (r *rotation) collectors() []prometheus.Collector {
	results := func(result string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flk_tls_reloads_total",
			Help:        "Changed certificate files, by what became of them; refused ones leave the earlier ones in use.",
			ConstLabels: prometheus.Labels{"certificate": r.port, "result": result}}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{results("loaded", &r.loaded), results("refused", &r.refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flk_tls_certificate_expiry_seconds",
			Help:        "Seconds until the certificate in use expires, negative afterwards.",
			ConstLabels: prometheus.Labels{"certificate": r.port}}, func() float64 { return time.Until(r.end()).Seconds() })}
}

// followCertificates looks at the files of both ports until ctx ends.
func (n *Node) followCertificates(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-tick.C:
		case <-n.reload:
			asked = true
		case <-ctx.Done():
			return ctx.Err()
		}
		n.apiFiles.look(asked)
		n.peerFiles.look(asked)
	}
}

// ReloadCertificates makes the node read the certificate files of both ports now, changed or not. It returns at once; the
// log tells what became of it.
func (n *Node) ReloadCertificates() {
	select {
	case n.reload <- struct{}{}:
	default: // one is waiting already
	}
}

// apiTLS is the TLS side of the API port.
type apiTLS struct {
	files   Listener
	log     *slog.Logger
	current atomic.Pointer[apiState]
}

// apiState is what one reading of the files gave. It is replaced whole, never changed.
type apiState struct {
	config *tls.Config
	pair   tls.Certificate
}

// newAPITLS reads the files. A certificate that has expired is served all the same, with a warning: a client that insists
// will not connect, and the others can still read.
func newAPITLS(files Listener, log *slog.Logger) (*apiTLS, error) {
	a := &apiTLS{files: files, log: log}
	s, err := a.read()
	if err != nil {
		return nil, err
	}
	if err := certs.CheckValid(s.pair, time.Now()); err != nil {
		log.Warn("clients will refuse the API certificate", "file", files.Cert, "error", err)
	}
	a.current.Store(s)
	return a, nil
}

func (a *apiTLS) read() (*apiState, error) {
	pair, err := certs.ReadPair(a.files.Cert, a.files.Key)
	if err != nil {
		return nil, fmt.Errorf("API certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if a.files.CA == "" {
		return &apiState{config, pair}, nil
	}
	if config.ClientCAs, err = certs.ReadPool(a.files.CA); err != nil {
		return nil, fmt.Errorf("authorities of API clients: %w", err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.SessionTicketsDisabled = true // every connection is judged by the authorities that count now
	return &apiState{config, pair}, nil
}

func (a *apiTLS) reload() error {
	s, err := a.read()
	if err != nil {
		return err
	}
	if err := certs.CheckValid(s.pair, time.Now()); err != nil {
		return fmt.Errorf("API certificate: %s: %w", a.files.Cert, err)
	}
	a.current.Store(s)
	return nil
}

// believes says whether the authorities of now vouch for the chain of a client, leaf first.
func (a *apiTLS) believes(chain []*x509.Certificate) bool {
	roots := a.current.Load().config.ClientCAs
	if roots == nil || len(chain) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

func (a *apiTLS) end() time.Time { return a.current.Load().pair.Leaf.NotAfter }

// config is the server's: every handshake takes the state of its moment.
func (a *apiTLS) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.current.Load().config, nil },
	}
}
