package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// Leader forwards operations to the leader.
type Leader interface {
	// ForwardOperation sends a request to the leader and returns its response. Both are opaque. here means that this
	// node leads and nothing was sent. An error that holds a *wire.Problem becomes the response.
	ForwardOperation(ctx context.Context, request []byte) (answer []byte, here bool, err error)
	// Leading reports whether this node leads and may propose now.
	Leading() bool
	// LeaderURL returns the base URL of the leader for clients, or "" if none is known.
	LeaderURL() string
}

// forwarded is a request for an operation on its way to the leader. It carries the caller's own token. The
// leader authenticates the caller itself and does not trust the forwarding node.
type forwarded struct {
	Method, Target, Remote, RequestID string
	Header                            http.Header // of forwardedHeaders only
	Body                              []byte
}

var forwardedHeaders = []string{"Authorization", "Content-Type", "Content-Encoding"}

// forwardedAnswer is the leader's response.
type forwardedAnswer struct {
	Status int
	Header http.Header
	Body   []byte
}

// viaKey marks the context of a forwarded operation.
type viaKey struct{}

// viaOf returns the node that forwarded the request, or "" if it came from a client.
func viaOf(c echo.Context) string {
	via, _ := c.Request().Context().Value(viaKey{}).(string)
	return via
}

// retryForward is the Retry-After while the leader changes.
const retryForward = time.Second

// forward sends an operation to the leader if this node does not lead. done means that the response was sent. A
// caller that is authenticated by a certificate only gets the leader's URL instead, because the leader cannot
// see the certificate through this node.
func (s *server) forward(r route, c echo.Context) (done bool, err error) {
	if !r.op || s.Leader == nil || s.Leader.Leading() {
		return false, nil
	}
	if viaOf(c) != "" {
		return true, wire.NewProblem(wire.CodeNoLeader,
			"the node that was asked does not lead any more").WithRetry(retryForward)
	}
	if strings.HasPrefix(identityOf(c).Credential, event.CertificatePrefix) && !s.NoAuth {
		return true, s.misdirected()
	}
	body := []byte(nil)
	if c.Request().ContentLength != 0 {
		if body, err = s.readBody(c); err != nil {
			return true, err
		}
	}
	f := forwarded{
		Method:    r.method,
		Target:    c.Request().URL.RequestURI(),
		Remote:    c.RealIP(),
		RequestID: currentID(c),
		Header:    http.Header{},
		Body:      body,
	}
	for _, name := range forwardedHeaders {
		if v := c.Request().Header.Values(name); len(v) > 0 {
			f.Header[name] = v
		}
	}
	ctx, cancel, _ := acting(c)
	defer cancel()
	done, err = s.sendForward(ctx, c, f)
	if err != nil {
		err = s.operationProblem(err, c)
	} else if !done { // this node leads by now, and the handler reads the body again
		c.Request().Body, c.Request().ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return done, err
}

func (s *server) misdirected() error {
	at := s.Leader.LeaderURL()
	if at == "" {
		return wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryForward)
	}
	p := wire.NewProblem(wire.CodeMisdirected, "a client certificate speaks to the leader only: "+at)
	p.Leader = at
	return p
}

func (s *server) sendForward(ctx context.Context, c echo.Context, f forwarded) (done bool, err error) {
	request, err := json.Marshal(f)
	if err != nil {
		return true, err
	}
	raw, here, err := s.Leader.ForwardOperation(ctx, request)
	if here || err != nil {
		return !here, err
	}
	var a forwardedAnswer
	if err := json.Unmarshal(raw, &a); err != nil || a.Status < 200 || a.Status > 599 {
		return true, fmt.Errorf("the leader's answer to an operation: status %d: %w", a.Status, errors.Join(err, errForward))
	}
	h := c.Response().Header()
	for name, values := range a.Header {
		h[name] = values
	}
	c.Response().WriteHeader(a.Status)
	_, err = c.Response().Write(a.Body)
	return true, err
}

var errForward = errors.New("not understood")

// ServeForwarded handles an operation that another node has forwarded. handler comes from NewHandler or
// NewServer. The caller is authenticated here by its token.
func ServeForwarded(ctx context.Context, handler http.Handler, from string, request []byte) ([]byte, error) {
	var f forwarded
	if err := json.Unmarshal(request, &f); err != nil {
		return nil, fmt.Errorf("forwarded operation: %w", err)
	}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, viaKey{}, from), f.Method, f.Target,
		bytes.NewReader(f.Body))
	if err != nil {
		return nil, fmt.Errorf("forwarded operation: %w", err)
	}
	for _, name := range forwardedHeaders {
		if v := f.Header.Values(name); len(v) > 0 {
			r.Header[name] = v
		}
	}
	r.Header.Set(wire.HeaderRequestID, f.RequestID)
	r.RequestURI, r.RemoteAddr = f.Target, net.JoinHostPort(f.Remote, "0")
	w := &capture{header: http.Header{}}
	handler.ServeHTTP(w, r)
	return json.Marshal(forwardedAnswer{Status: w.status, Header: w.header, Body: w.body.Bytes()})
}

// capture is a response in memory.
type capture struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *capture) Header() http.Header { return w.header }

func (w *capture) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *capture) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
