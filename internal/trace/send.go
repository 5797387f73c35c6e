package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// counted is an exporter that counts spans from the moment at which they are made, and tells the log when the
// collector goes away and comes back. The queue of the library drops what is too much without a word, so counted
// keeps more than mostSpans from entering it.
type counted struct {
	next     sdk.SpanExporter
	log      *slog.Logger
	counters Counters
	open     atomic.Int64 // spans that wait or are under way
	away     atomic.Bool  // the last request failed
	ctx      context.Context
	giveUp   context.CancelFunc // ends requests that are under way
}

func newCounted(next sdk.SpanExporter, log *slog.Logger) *counted {
	c := &counted{next: next, log: log}
	c.ctx, c.giveUp = context.WithCancel(context.Background())
	return c
}

// reserve lets n spans in, or counts them as dropped.
func (c *counted) reserve(n int) bool {
	if c.open.Add(int64(n)) <= mostSpans {
		return true
	}
	c.open.Add(-int64(n))
	c.counters.Dropped.Add(uint64(n))
	return false
}

// ExportSpans sends spans. It returns nil in any case, because it tells the log itself.
func (c *counted) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	err := c.next.ExportSpans(ctx, spans)
	c.open.Add(-int64(len(spans)))
	if err != nil {
		c.counters.Failed.Add(uint64(len(spans)))
		if !c.away.Swap(true) && c.ctx.Err() == nil {
			text := err.Error() // it has the answer of the collector
			c.log.Warn("the collector of traces does not take spans", "error", text[:min(len(text), maxText)])
		}
		return nil
	}
	c.counters.Exported.Add(uint64(len(spans)))
	if c.away.Swap(false) {
		c.log.Info("the collector of traces takes spans again")
	}
	return nil
}

// Shutdown ends the library's exporter.
func (c *counted) Shutdown(ctx context.Context) error { return c.next.Shutdown(ctx) }

// errMoved means that a collector answered with a redirection. The headers may be secrets, so they go nowhere else.
var errMoved = errors.New("redirected; give the address itself as tracing.endpoint")

// newClient returns the client for the collector.
func newClient(s Settings) (*http.Client, error) {
	config, err := s.tls()
	if err != nil {
		return nil, fmt.Errorf("tracing.ca_file: %w", err)
	}
	if _, err := s.headers(); err != nil {
		return nil, fmt.Errorf("tracing.headers_file: %w", err)
	}
	return &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errMoved },
		Transport: &headed{settings: s, next: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: sendTimeout}).DialContext,
			TLSClientConfig:     config,
			TLSHandshakeTimeout: sendTimeout,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        1,
			IdleConnTimeout:     time.Minute,
		}},
	}, nil
}

// headed adds the headers of the settings to every request. It reads their file again each time, so that a new
// token counts without a restart.
type headed struct {
	settings Settings
	next     *http.Transport
}

func (h *headed) RoundTrip(r *http.Request) (*http.Response, error) {
	headers, err := h.settings.headers()
	if err != nil {
		_ = r.Body.Close() // of a buffer
		return nil, fmt.Errorf("tracing.headers_file: %w", err)
	}
	r = r.Clone(r.Context())
	for name, values := range headers {
		r.Header[name] = values
	}
	return h.next.RoundTrip(r)
}

func (h *headed) CloseIdleConnections() { h.next.CloseIdleConnections() }
