package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxRPCBody = 64 << 20
	errorCode  = "Recount-Error-Code"
	helloName  = "Recount-Hello" // header with the hello of a node, in requests and responses

	// Codes of RemoteError that this package creates itself.
	CodeInternal  = "internal"   // the handler returned an error that is not a *RemoteError
	CodeNoHandler = "no_handler" // the peer does not know the path
	CodeTooLarge  = "too_large"  // the body is longer than the peer accepts
	codeNotLeader = "not_leader"
	codeNoQuorum  = "not_confirmed"
	codeRefused   = "refused"

	codeOtherVoters = "other_voters"
)

// RemoteError is an error that a handler returned. It reaches the caller unchanged.
type RemoteError struct{ Code, Message string }

// Error returns code and message.
func (e *RemoteError) Error() string { return "remote: " + e.Code + ": " + e.Message }

// Handler answers one RPC. from is the authenticated id of the calling node. An error that is a *RemoteError
// reaches the caller with its code, any other with CodeInternal.
type Handler func(ctx context.Context, from string, body []byte) ([]byte, error)

type rpcServer struct {
	c        *Cluster
	mu       sync.RWMutex
	handlers map[string]Handler
	http     *http.Server
}

func newRPCServer(c *Cluster) *rpcServer {
	s := &rpcServer{c: c, handlers: map[string]Handler{}}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	s.http = &http.Server{
		Handler: s, Protocols: protocols, ReadHeaderTimeout: c.cfg.rpcDeadline, MaxHeaderBytes: 16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1024,
			SendPingTimeout:      15 * time.Second,
			PingTimeout:          5 * time.Second,
		},
		BaseContext: func(net.Listener) context.Context { return c.stop },
		ErrorLog:    slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Handle registers the handler of a path such as "/propose". Register before Start. Paths below /cluster/ are
// reserved.
func (c *Cluster) Handle(path string, h func(ctx context.Context, from string, body []byte) ([]byte, error)) {
	c.rpc.mu.Lock()
	defer c.rpc.mu.Unlock()
	if !strings.HasPrefix(path, "/") || c.rpc.handlers[path] != nil {
		panic("cluster: bad or repeated RPC path " + path)
	}
	c.rpc.handlers[path] = h
}

func (s *rpcServer) serve() {
	if err := s.http.Serve(s.c.peer.h2); err != nil && !errors.Is(err, http.ErrServerClosed) && s.c.stop.Err() == nil {
		s.c.fatal(fmt.Errorf("cluster: peer RPC server: %w", err))
	}
}

func (s *rpcServer) close() { _ = s.http.Close() }

func (s *rpcServer) handler(path string) Handler {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.handlers[path]
}

// ServeHTTP answers one POST. The connection was authenticated when it was accepted.
func (s *rpcServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRPCBody))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, &RemoteError{CodeTooLarge, err.Error()})
		return
	}
	from, err := s.c.peer.identify(r.TLS)
	if err != nil {
		refuse(w, http.StatusForbidden, &RemoteError{CodeInternal, err.Error()})
		return
	}
	roster := s.c.peer.roster
	if _, err := roster.admit(from, r.Header.Get(helloName)); err != nil {
		s.c.peer.refusals.Do(func() { s.c.log.Warn("cluster: peer call refused", "member", from, "error", err) })
		code := codeRefused
		if errors.Is(err, errOtherVoters) {
			code = codeOtherVoters
		}
		refuse(w, http.StatusForbidden, &RemoteError{code, err.Error()})
		return
	}
	w.Header().Set(helloName, roster.hello().String())
	out, err := s.dispatch(r.Context(), from, r.URL.Path, body)
	var remote *RemoteError
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(out)
	case errors.As(err, &remote):
		refuse(w, http.StatusUnprocessableEntity, remote)
	default:
		refuse(w, http.StatusInternalServerError, &RemoteError{CodeInternal, err.Error()})
	}
}

func (s *rpcServer) dispatch(ctx context.Context, from, path string, body []byte) (out []byte, err error) {
	h := s.handler(path)
	if h == nil {
		return nil, &RemoteError{CodeNoHandler, "no handler for " + path}
	}
	defer func() {
		if p := recover(); p != nil {
			s.c.log.Error("cluster: RPC handler panicked", "path", path, "panic", p)
			out, err = nil, &RemoteError{CodeInternal, "handler panicked"}
		}
	}()
	return h(ctx, from, body)
}

func refuse(w http.ResponseWriter, status int, e *RemoteError) {
	w.Header().Set(errorCode, e.Code)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, e.Message)
}

// Call sends body to a member's handler and returns its response. Errors: *RemoteError from the handler,
// ErrUnknownNode, ErrUnreachable (also wraps ctx's error, and the handler may have run). Without a deadline in
// ctx it takes at most 10 s. A call to this node itself runs the handler here.
func (c *Cluster) Call(ctx context.Context, nodeID, path string, body []byte) (out []byte, err error) {
	if nodeID == c.cfg.NodeID {
		return c.callSelf(ctx, path, body)
	}
	p := c.calls[nodeID]
	if p == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNode, nodeID)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.rpcDeadline)
		defer cancel()
	}
	return p.call(ctx, path, body)
}

func (c *Cluster) callSelf(ctx context.Context, path string, body []byte) ([]byte, error) {
	out, err := c.rpc.dispatch(ctx, c.cfg.NodeID, path, body)
	var remote *RemoteError
	if err != nil && !errors.As(err, &remote) {
		err = &RemoteError{CodeInternal, err.Error()}
	}
	return out, err
}

// peerClient is a pooled HTTP/2 client for one member. It reconnects automatically.
type peerClient struct {
	inFlight chan struct{} // slots for term requests of reads in flight

	id   string
	port *peerPort
	base string
	http *http.Client
	tr   *http.Transport
}

func newPeerClient(port *peerPort, v Voter) *peerClient {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	tr := &http.Transport{
		Protocols: protocols, DisableCompression: true, IdleConnTimeout: 5 * time.Minute, ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return port.dialTLS(ctx, v, alpnRPC)
		},
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  2 * time.Second,
			PingTimeout:      2 * time.Second,
			MaxReadFrameSize: 1 << 20,
		},
	}
	return &peerClient{
		inFlight: make(chan struct{}, 16),
		id:       v.ID,
		port:     port,
		base:     "https://" + v.PeerAddr,
		tr:       tr,
		http:     &http.Client{Transport: tr},
	}
}

func (p *peerClient) close() { p.tr.CloseIdleConnections() }

// call sends body to the member, and checks that it is the member that this node knows.
func (p *peerClient) call(ctx context.Context, path string, body []byte) ([]byte, error) {
	out, _, err := p.exchange(ctx, path, body)
	return out, err
}

func (p *peerClient) exchange(ctx context.Context, path string, body []byte) ([]byte, hello, error) {
	out, header, err := p.send(ctx, path, body)
	var remote *RemoteError
	roster := p.port.roster
	switch {
	case errors.As(err, &remote) && (remote.Code == codeRefused || remote.Code == codeOtherVoters):
		roster.deniedBy(p.id, remote.Message)
		return nil, hello{}, err
	case err != nil && (header == nil || header.Get(helloName) == ""):
		return nil, hello{}, err // not sent, or refused before the member looked at the hello of this node
	}
	roster.deniedBy(p.id, "")
	theirs, refused := roster.admit(p.id, header.Get(helloName))
	if refused != nil {
		return nil, theirs, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, refused)
	}
	return out, theirs, err
}

func (p *peerClient) send(ctx context.Context, path string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: call %s%s: %w", p.id, path, err)
	}
	req.Header.Set(helloName, p.port.roster.hello().String())
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, maxRPCBody+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, err)
	case len(out) > maxRPCBody:
		return nil, nil, fmt.Errorf("%w: %s%s: answer too long", ErrUnreachable, p.id, path)
	case resp.StatusCode == http.StatusOK:
		return out, resp.Header, nil
	}
	code := resp.Header.Get(errorCode)
	if code == "" {
		code = CodeInternal
	}
	return nil, resp.Header, &RemoteError{Code: code, Message: string(out)}
}
