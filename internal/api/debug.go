package api

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// maxProfile bounds the time over which a profile is taken.
const maxProfile = 2 * time.Minute

// maxProfiles bounds the profiles that are taken at a time. Of the processor there is one at a time in any case.
const maxProfiles = 2

// namedProfiles are those of the Go runtime that are served. Package net/http/pprof would also serve the command
// line, and look up symbols, which a profile of a Go program has already.
var namedProfiles = []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"}

// NewDebugServer returns a server with the profiles of this process, for operators and for a listener on loopback.
// It speaks plain HTTP and uses Ledger.Credentials, ClusterID, AuthFailures, Refused and Logger of cfg. Its routes
// are on a mux of its own.
func NewDebugServer(cfg Config) *http.Server {
	cfg.TLS, cfg.NoAuth = nil, false
	d := &debugServer{authenticator: newAuthenticator(cfg, nil), slots: make(chan struct{}, maxProfiles)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/{$}", d.guard(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", d.guard(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", d.guard(pprof.Trace))
	for _, name := range namedProfiles {
		mux.HandleFunc("GET /debug/pprof/"+name, d.guard(pprof.Handler(name).ServeHTTP))
	}
	server := limitedServer(cfg, mux)
	server.ReadTimeout = 0 // it would end a profile, and no route reads a body
	server.WriteTimeout = maxProfile + time.Second
	return server
}

// debugServer lets operators take profiles.
type debugServer struct {
	*authenticator
	slots chan struct{}
}

// guard lets a request of an operator through.
func (d *debugServer) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		id, p := d.admit(r)
		if p == nil {
			p = checkSeconds(r)
		}
		if p != nil {
			if p.Status == http.StatusUnauthorized {
				w.Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="recount"`)
			}
			d.writeProblem(w, p)
			return
		}
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		default:
			busy := wire.NewProblem(wire.CodeOverloaded, "other profiles are being taken")
			d.writeProblem(w, busy.WithRetry(time.Second))
			return
		}
		d.Logger.Info("an operator takes a profile", "path", r.URL.Path, "actor", id.Actor, "credential", id.Credential)
		next(w, r)
	}
}

// checkSeconds refuses a profile that would take too long. Package net/http/pprof takes what is not a number for
// its default.
func checkSeconds(r *http.Request) *wire.Problem {
	seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
	if err == nil && !(seconds <= maxProfile.Seconds()) {
		return badParameter("seconds", fmt.Sprintf("at most %v", maxProfile.Seconds()))
	}
	return nil
}

// admit identifies the operator, or returns the problem to answer. A page in a browser of this machine cannot get
// through: it cannot set the header with the token, and another name for this address (DNS rebinding) or another
// origin is refused before the token counts.
func (d *debugServer) admit(r *http.Request) (Identity, *wire.Problem) {
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	if !localHost(r.Host) || crossSite(r.Header) {
		p := wire.NewProblem(wire.CodeForbidden, "profiles are for programs that call loopback by its address")
		d.tell(r, remote, refusedForbidden, p, Identity{})
		return Identity{}, p
	}
	id, err := d.authenticate(r, !d.failures.over(remote))
	reason, p := "", (*wire.Problem)(nil)
	switch {
	case r.Header.Get(echo.HeaderAuthorization) == "":
		reason, p = refusedNone, wire.NewProblem(wire.CodeUnauthorized, "")
	case err != nil && d.failures.failed(remote):
		reason, p = refusedLimited, d.failures.problem()
	case err != nil:
		reason, p = refusedInvalid, wire.NewProblem(wire.CodeUnauthorized, "")
	case id.Role != wire.RoleOperator:
		reason = refusedForbidden
		p = wire.NewProblem(wire.CodeForbidden, "the role "+string(id.Role)+" may not do this")
	}
	if p != nil {
		d.tell(r, remote, reason, p, id)
	}
	return id, p
}

// tell reports a refusal to the audit stream.
func (d *debugServer) tell(r *http.Request, remote, reason string, p *wire.Problem, id Identity) {
	if d.Refused != nil {
		d.Refused(RefusedOperation{At: time.Now(), Remote: remote, Method: r.Method, Route: r.URL.Path,
			Status: p.Status, Reason: reason, Actor: id.Actor, Role: id.Role, Credential: id.Credential})
	}
}

// localHost reports whether a Host header is localhost or an address on loopback.
func localHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

// crossSite reports whether a browser sent the request for a page of somebody else.
func crossSite(h http.Header) bool {
	site := h.Get("Sec-Fetch-Site")
	return h.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin"
}
