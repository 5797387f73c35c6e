package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// Identity is the authenticated caller of a request. All fields are empty if authentication is off.
type Identity struct {
	Actor      string // name of the token or certificate
	Role       wire.Role
	Credential string // "token:" and its id, "cert:" and its serial number in hex, or "basic"
}

// TokenRecord is a token as the ledger knows it.
type TokenRecord struct {
	ID, Name  string
	Role      wire.Role
	SHA256    [32]byte // of the text
	ExpiresAt int64    // Unix nanoseconds; 0 is never
	Revoked   bool
}

// RefusedOperation describes a rejected request for the audit stream.
type RefusedOperation struct {
	At                time.Time
	RequestID, Remote string
	Method, Route     string // route template
	Status            int
	Reason            string // one of the refused... labels
	Actor, Credential string // empty if the caller is not known
	Role              wire.Role
}

// Reasons of a rejection, the closed set of the metric's label.
const (
	refusedNone      = "none"      // no credentials
	refusedInvalid   = "invalid"   // credentials that are not valid
	refusedForbidden = "forbidden" // another role is needed
	refusedLimited   = "limited"   // too many failures from this address
)

var refusedLabels = []string{refusedNone, refusedInvalid, refusedForbidden, refusedLimited}

// currentLimit bounds the time for which an unknown token waits for news from the other nodes. maxConfirming
// bounds the number of such tokens at a time, so that a flood of guesses does not become a flood of requests to
// the voters.
const (
	currentLimit  = time.Second
	maxConfirming = 8
)

var (
	errNoCredentials  = errors.New("no credentials")
	errBadCredentials = errors.New("credentials that do not count")
)

// identityKey is the key of the Identity in an echo.Context.
const identityKey = "identity"

func identityOf(c echo.Context) Identity {
	id, _ := c.Get(identityKey).(Identity)
	return id
}

// authenticator identifies callers and decides what they may do.
type authenticator struct {
	Config
	rejected   *prometheus.CounterVec // rejected requests by reason
	failures   *failures
	used       lastUsed
	confirming chan struct{} // slots for tokens that wait for news
}

func newAuthenticator(cfg Config, rejected *prometheus.CounterVec) *authenticator {
	return &authenticator{
		Config:     cfg,
		rejected:   rejected,
		failures:   newFailures(cfg.AuthFailures),
		confirming: make(chan struct{}, maxConfirming),
	}
}

// authorize accepts a request that the table allows. The response never tells what was wrong with credentials.
func (a *authenticator) authorize(r route, c echo.Context) error {
	if len(r.roles) == 0 {
		return nil
	}
	if r.basic && a.basicConfigured() && !hasBearer(c.Request()) {
		return a.authorizeBasic(r, c)
	}
	remote := c.RealIP()
	guessing := a.failures
	if viaOf(c) != "" {
		guessing = nil // the other node has counted the failure, and could name any address
	}
	id, err := a.authenticate(c.Request(), !guessing.over(remote))
	noteActor(c, id.Actor, string(id.Role))
	switch {
	case a.NoAuth && !r.basic, a.NoAuth && !a.basicConfigured():
		c.Set(identityKey, id)
		return nil
	case errors.Is(err, errNoCredentials):
		return a.refuse(r, c, refusedNone, id, wire.NewProblem(wire.CodeUnauthorized, ""))
	case err != nil && guessing.failed(remote):
		return a.refuse(r, c, refusedLimited, id, a.failures.problem())
	case err != nil:
		return a.refuse(r, c, refusedInvalid, id, wire.NewProblem(wire.CodeUnauthorized, ""))
	case !slices.Contains(r.roles, id.Role):
		return a.refuse(r, c, refusedForbidden, id,
			wire.NewProblem(wire.CodeForbidden, "the role "+string(id.Role)+" may not do this"))
	}
	c.Set(identityKey, id)
	return nil
}

// refuse counts and reports a rejection and returns the problem for the response.
func (a *authenticator) refuse(r route, c echo.Context, reason string, id Identity, p *wire.Problem) error {
	a.rejected.WithLabelValues(reason).Inc()
	h := c.Response().Header()
	switch reason {
	case refusedNone:
		h.Add("WWW-Authenticate", `Bearer realm="recount"`)
	case refusedInvalid:
		h.Add("WWW-Authenticate", `Bearer realm="recount", error="invalid_token"`)
	case refusedForbidden:
		h.Add("WWW-Authenticate", `Bearer realm="recount", error="insufficient_scope"`)
	}
	if a.Refused != nil {
		a.Refused(RefusedOperation{
			At:         time.Now(),
			RequestID:  currentID(c),
			Remote:     c.RealIP(),
			Method:     r.method,
			Route:      r.path,
			Status:     p.Status,
			Reason:     reason,
			Actor:      id.Actor,
			Role:       id.Role,
			Credential: id.Credential,
		})
	}
	return p
}

// authenticate identifies the caller. If there is an Authorization header, it alone decides: a bad token beside
// a good certificate is rejected. An unknown token costs a request to a majority only if mayAsk is set.
func (a *authenticator) authenticate(r *http.Request, mayAsk bool) (Identity, error) {
	sent := r.Header.Values("Authorization")
	switch {
	case len(sent) > 1:
		return Identity{}, errBadCredentials
	case len(sent) == 1:
		scheme, text, _ := strings.Cut(sent[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Identity{}, errBadCredentials
		}
		return a.authenticateToken(r.Context(), strings.Trim(text, " "), mayAsk)
	}
	id, err := certificateIdentity(r.TLS, a.ClusterID, time.Now(), a.VerifyClientChain)
	serial := strings.TrimPrefix(id.Credential, event.CertificatePrefix)
	if err == nil && a.Ledger.Credentials.CertificateRevoked(serial) {
		err = errBadCredentials
	}
	return id, err
}

// stand reports whether the credentials of an accepted request would still be accepted. It asks no other node.
func (a *authenticator) stand(c echo.Context) bool {
	if a.NoAuth {
		return true
	}
	id, err := a.authenticate(c.Request(), false)
	return err == nil && id == identityOf(c)
}

// authenticateToken checks the form first. An unknown token is checked again after this node has caught up with
// everything that was acknowledged, because another node may just have created it.
func (a *authenticator) authenticateToken(ctx context.Context, text string, mayAsk bool) (Identity, error) {
	_, tokenID, err := wire.ParseToken(text)
	if err != nil {
		return Identity{}, errBadCredentials
	}
	id, err := a.checkToken(tokenID, text)
	if err == nil || !mayAsk {
		return id, err
	}
	select {
	case a.confirming <- struct{}{}:
		defer func() { <-a.confirming }()
	default:
		return Identity{}, errBadCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, currentLimit)
	defer cancel()
	if a.Ledger.Credentials.Current(ctx) != nil {
		return Identity{}, errBadCredentials
	}
	return a.checkToken(tokenID, text)
}

// checkToken compares digests in constant time, whether the token is known or not.
func (a *authenticator) checkToken(tokenID, text string) (Identity, error) {
	row, known := a.Ledger.Credentials.Token(tokenID)
	sum, now := sha256.Sum256([]byte(text)), time.Now()
	same := subtle.ConstantTimeCompare(sum[:], row.SHA256[:]) == 1
	if !same || !known || row.Revoked || row.ExpiresAt != 0 && now.UnixNano() >= row.ExpiresAt {
		return Identity{}, errBadCredentials
	}
	a.used.note(tokenID, now)
	return Identity{Actor: row.Name, Role: row.Role, Credential: event.TokenPrefix + tokenID}, nil
}

func hasBearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") ||
		r.Header.Get("Authorization") == "" && r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

func (a *authenticator) basicConfigured() bool { return a.MetricsUser != "" || a.MetricsPass != "" }

// authorizeBasic authorizes /metrics by Basic Auth, because many scrapers support nothing else.
func (a *authenticator) authorizeBasic(r route, c echo.Context) error {
	if a.mayScrape(c.Request()) {
		c.Set(identityKey, Identity{Actor: a.MetricsUser, Role: wire.RoleMetrics, Credential: "basic"})
		return nil
	}
	c.Response().Header().Add("WWW-Authenticate", `Basic realm="metrics", charset="UTF-8"`)
	if c.Request().Header.Get("Authorization") == "" {
		return a.refuse(r, c, refusedNone, Identity{}, wire.NewProblem(wire.CodeUnauthorized, ""))
	}
	if a.failures.failed(c.RealIP()) {
		return a.refuse(r, c, refusedLimited, Identity{}, a.failures.problem())
	}
	return a.refuse(r, c, refusedInvalid, Identity{}, wire.NewProblem(wire.CodeUnauthorized, ""))
}

// lastUsed remembers when tokens were used on this node. It holds valid tokens only, so it cannot outgrow their
// number.
type lastUsed struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (u *lastUsed) note(id string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[string]time.Time{}
	}
	u.at[id] = now
}

func (u *lastUsed) of(id string) (time.Time, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, ok := u.at[id]
	return t, ok
}
