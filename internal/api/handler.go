package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/limit"
	"github.com/recount-ledger/recount/wire"
)

type server struct {
	Config
	metrics    *metrics
	from       *limit.Buckets    // by address
	bodies     atomic.Int64      // bytes of submissions in memory
	routes     map[string]bool   // templates, the closed set of the route label
	operations map[endpoint]bool // the routes that change something, or take copies, except submissions
	deadlines  *deadlines        // of submissions
	nodeHeader []string          // value of the header with the node's id, nil for none

	tails chan struct{} // slots for live tails

	auth *authenticator
	page http.Handler // page with the metrics

	stopping <-chan struct{} // closed when the server shuts down, nil for never
}

// endpoint is a method and a template of a path.
type endpoint struct{ method, path string }

// call is one request, with what the handlers note of it.
type call struct {
	echo.Context
	deciding bool           // counted in Config.Deciding
	trace    Trace          // nil when the request is not traced
	about    map[string]any // what the trace says of the request
}

// Values of headers that all responses share. Nobody changes the elements of a header in place.
var (
	jsonType = []string{wire.MediaJSON}
	noSniff  = []string{"nosniff"}
	noStore  = []string{"no-store"}
)

// NewHandler returns the handler of every route. It registers its metrics with cfg.Registry, so a registry
// serves one handler.
func NewHandler(cfg Config) (http.Handler, error) {
	return newHandler(cfg, nil)
}

func newHandler(cfg Config, stopping <-chan struct{}) (http.Handler, error) {
	e, err := newEcho(cfg, stopping)
	if err != nil {
		return nil, err
	}
	return headAsGet(e), nil
}

func newEcho(cfg Config, stopping <-chan struct{}) (*echo.Echo, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &server{
		Config:     cfg,
		routes:     map[string]bool{},
		operations: map[endpoint]bool{},
		deadlines:  newDeadlines(cfg.SubmitTimeout),
		tails:      make(chan struct{}, cfg.Tails),
		stopping:   stopping,
		from:       limit.NewBuckets(addresses, cfg.AddressRate, limit.Burst(cfg.AddressRate)),
		page:       cfg.registryPage(),
		nodeHeader: oneValue(cfg.NodeID),
	}
	if s.metrics, err = newMetrics(cfg.Registry, cfg.WALErrors); err != nil {
		return nil, err
	}
	s.auth = newAuthenticator(cfg, s.metrics.refused)
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.renderError
	e.IPExtractor = ipExtractor(cfg)
	e.Use(s.observe)
	s.register(e)
	return e, s.learnRoutes(e.Routes())
}

// learnRoutes notes the routes that were built, if they are those of the table.
func (s *server) learnRoutes(built []*echo.Route) error {
	for _, r := range built {
		s.routes[r.Path] = true
	}
	for _, r := range s.table() {
		s.operations[endpoint{r.method, r.path}] = r.op || r.noted
	}
	return checkRoutes(built, s.table())
}

// oneValue returns a header with this value, or nil for "".
func oneValue(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// ipExtractor trusts X-Forwarded-For only from the configured proxies.
func ipExtractor(cfg Config) echo.IPExtractor {
	if len(cfg.TrustedProxies) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range cfg.TrustedProxies {
		p = p.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	extract := echo.ExtractIPFromXFFHeader(options...)
	return func(r *http.Request) string {
		if given := r.Header.Values(echo.HeaderXForwardedFor); len(given) > 0 {
			bare := *r
			bare.Header = http.Header{echo.HeaderXForwardedFor: {withoutPorts(given)}}
			r = &bare
		}
		return extract(r)
	}
}

// withoutPorts joins the addresses of X-Forwarded-For. Some proxies write address:port, which is not an
// address. If such text were dropped, all clients of that proxy would be one client.
func withoutPorts(given []string) string {
	parts := strings.Split(strings.Join(given, ","), ",")
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if at, err := netip.ParseAddrPort(p); err == nil {
			p = at.Addr().String()
		}
		parts[i] = p
	}
	return strings.Join(parts, ",")
}

// headAsGet handles HEAD as GET without the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		get := *r
		get.Method = http.MethodGet
		next.ServeHTTP(bodyless{w}, &get)
	})
}

type bodyless struct{ http.ResponseWriter }

func (b bodyless) Write(p []byte) (int, error) { return len(p), nil }
func (b bodyless) Unwrap() http.ResponseWriter { return b.ResponseWriter }
func (b bodyless) Flush()                      { _ = http.NewResponseController(b.ResponseWriter).Flush() }

// observe is the only middleware: request id, headers of every response, panics, errors, metrics, log.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		id := requestID(c.Request().Header.Get(wire.HeaderRequestID))
		h := c.Response().Header()
		h.Set(wire.HeaderRequestID, id)
		h["X-Content-Type-Options"] = noSniff
		h["Cache-Control"] = noStore
		// The request may have stated its length in two ways. A proxy in front may use the other one and take
		// the rest of this connection for another request, so the connection is closed (RFC 9112, 6.1).
		// net/http hides that there were two.
		if len(c.Request().TransferEncoding) > 0 {
			h.Set("Connection", "close")
		}
		if s.nodeHeader != nil {
			h[wire.HeaderNode] = s.nodeHeader
		}
		if c.Request().Method == http.MethodOptions {
			c.Response().Before(func() { allowHead(h) })
		}
		x := &call{Context: c}
		if err := s.guard(next, x); err != nil {
			s.renderError(err, x)
		}
		s.finish(x, id, time.Since(start))
		if x.deciding {
			s.Deciding.Add(-1)
		}
		return nil
	}
}

// noSlash responds 404 to a path that ends with a slash. No route ends with one, and echo would read "submit/"
// as the id of a record.
func noSlash(c echo.Context) error {
	if path := c.Request().URL.EscapedPath(); len(path) > 1 && strings.HasSuffix(path, "/") {
		return wire.NewProblem(wire.CodeNotFound, "no such route; the path ends with a slash, and no route does")
	}
	return nil
}

// guard converts a panic to an error. It passes http.ErrAbortHandler on, as net/http requires.
func (s *server) guard(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if abort, ok := r.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
			panic(r)
		}
		s.Logger.Error("panic in a handler", "panic", fmt.Sprint(r), "route", c.Path(),
			"request_id", currentID(c), "stack", string(debug.Stack()))
		err = wire.NewProblem(wire.CodeInternal, "")
	}()
	if err := noSlash(c); err != nil {
		return err
	}
	return next(c)
}

func (s *server) finish(c *call, id string, took time.Duration) {
	status, route := c.Response().Status, c.Path()
	if !s.routes[route] {
		route = "unmatched"
	}
	s.recordOperation(c, status)
	s.metrics.request(route, c.Request().Method, status, took)
	trace := c.endTrace(route, status, id)
	level := slog.LevelDebug
	if status >= 500 && status != http.StatusServiceUnavailable {
		level = slog.LevelWarn
	}
	if ctx := c.Request().Context(); s.Logger.Enabled(ctx, level) {
		remote := c.RealIP()
		if s.HideRemote {
			remote = ""
		}
		about := []any{"route", route, "method", methodLabel(c.Request().Method), "status", status, "took", took,
			"bytes", c.Response().Size, "remote", remote, "request_id", id}
		if trace != "" {
			about = append(about, "trace_id", trace)
		}
		s.Logger.Log(ctx, level, "request", about...)
	}
}

func currentID(c echo.Context) string { return c.Response().Header().Get(wire.HeaderRequestID) }

// requestID returns a well-formed id of the caller, or a new id.
func requestID(given string) string {
	if len(given) == 0 || len(given) > 64 {
		return rand.Text()
	}
	for i := 0; i < len(given); i++ {
		c := given[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return rand.Text()
		}
	}
	return given
}
