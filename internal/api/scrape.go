package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/recount-ledger/recount/wire"
)

// challenge is the WWW-Authenticate header for a scraper without valid credentials.
const challenge = `Basic realm="metrics", charset="UTF-8"`

// metricsPage serves the registry.
func (s *server) metricsPage(c echo.Context) error {
	s.page.ServeHTTP(c.Response(), c.Request())
	return nil
}

// registryPage serves the text format only. OpenMetrics requires unique families, and the predecessor's names
// of two counters (flk_dedup_hits, flk_signature_errors) are there the families of their successors.
func (c Config) registryPage() http.Handler {
	return promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// NewMetricsServer returns a server whose only route is GET /metrics, with the registry and the credentials of
// cfg, for its own listener. It serves TLS if cfg.TLS is set, as NewServer does.
func NewMetricsServer(cfg Config) (*http.Server, error) {
	if cfg.Registry == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("%w: Logger and Registry must be set", errConfig)
	}
	page, guesses := cfg.registryPage(), newFailures(cfg.AuthFailures)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !cfg.mayScrape(r) {
			remote, _, _ := net.SplitHostPort(r.RemoteAddr)
			if r.Header.Get(echo.HeaderAuthorization) != "" && guesses.failed(remote) {
				cfg.writeProblem(w, guesses.problem())
				return
			}
			w.Header().Set(echo.HeaderWWWAuthenticate, challenge)
			cfg.writeProblem(w, wire.NewProblem(wire.CodeUnauthorized, ""))
			return
		}
		page.ServeHTTP(w, r)
	})
	return limitedServer(cfg, mux), nil
}

// writeProblem writes a problem outside the API's own handler.
func (c Config) writeProblem(w http.ResponseWriter, p *wire.Problem) {
	p.RequestID = requestID("")
	body, err := json.Marshal(p)
	if err != nil {
		c.Logger.Error("problem does not encode", "error", err)
	}
	w.Header().Set("Content-Type", wire.MediaProblem)
	w.Header().Set(wire.HeaderRequestID, p.RequestID)
	w.WriteHeader(p.Status)
	if _, err := w.Write(body); err != nil {
		c.Logger.Debug("answer not sent", "error", err, "request_id", p.RequestID)
	}
}

// mayScrape compares digests in constant time, so that neither content nor length of the secret leaks.
func (c Config) mayScrape(r *http.Request) bool {
	if c.MetricsUser == "" && c.MetricsPass == "" {
		return true
	}
	user, pass, ok := r.BasicAuth()
	gotUser, wantUser := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(c.MetricsUser))
	gotPass, wantPass := sha256.Sum256([]byte(pass)), sha256.Sum256([]byte(c.MetricsPass))
	same := subtle.ConstantTimeCompare(gotUser[:], wantUser[:]) & subtle.ConstantTimeCompare(gotPass[:], wantPass[:])
	return ok && same == 1
}
