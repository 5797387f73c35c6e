package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/recount-ledger/recount/internal/cluster/frames"
)

const (
	maxRPCBody = frames.MaxBody

	// Codes of RemoteError that this package creates itself.
	CodeInternal  = "internal"          // the handler returned an error that is not a *RemoteError
	CodeNoHandler = "no_handler"        // the peer does not know the path
	CodeTooLarge  = frames.CodeTooLarge // the body is longer than the peer accepts
	CodeNoMember  = "no_member"         // the caller is in no configuration that the peer knows as the newest
	CodeRemoved   = "removed"           // the cluster has removed the caller
	CodeTokenUsed = "join_token_used"   // the caller shows a join token that another directory has used
	codeNotLeader = "not_leader"
	codeNoQuorum  = "not_confirmed"
	codeRefused   = "refused"
	codeLeft      = "left" // the cluster has removed the peer, so its answer says nothing about the caller

	codeOtherFounders = "other_voters"
)

// internalPaths begin the paths of this package, and those that a node that is no member yet may call.
const internalPaths = "/cluster/"

// JoinPath is the path at which a node asks a member to add it.
const JoinPath = internalPaths + "join"

// callerKey marks the context of a handler of JoinPath.
type callerKey struct{}

// CallerIncarnation returns, in a handler of JoinPath, the incarnation of the directory of the caller.
func CallerIncarnation(ctx context.Context) string {
	text, _ := ctx.Value(callerKey{}).(string)
	return text
}

// RemoteError is an error that a handler returned. It reaches the caller unchanged.
type RemoteError struct{ Code, Message string }

// Error returns code and message.
func (e *RemoteError) Error() string { return "remote: " + e.Code + ": " + e.Message }

// Handler answers one RPC. from is the authenticated id of the calling node. An error that is a *RemoteError
// reaches the caller with its code, any other with CodeInternal.
type Handler func(ctx context.Context, from string, body []byte) ([]byte, error)

// rpcServer answers the calls of the other members.
type rpcServer struct {
	c        *Cluster
	mu       sync.RWMutex
	handlers map[string]Handler
	visits   map[string]bool // paths that members may call that do not run
	running  pendingSet      // handlers that answer now
}

func newRPCServer(c *Cluster) *rpcServer {
	return &rpcServer{c: c, handlers: map[string]Handler{}, visits: map[string]bool{}}
}

// Handle registers the handler of a path such as "/propose". Register before Start. Paths below /cluster/ are
// reserved, but for JoinPath.
func (c *Cluster) Handle(path string, h func(ctx context.Context, from string, body []byte) ([]byte, error)) {
	c.rpc.mu.Lock()
	defer c.rpc.mu.Unlock()
	if !strings.HasPrefix(path, "/") || c.rpc.handlers[path] != nil {
		panic("cluster: bad or repeated RPC path " + path)
	}
	c.rpc.handlers[path] = h
}

// serve answers on every connection until the peer port and all connections are closed.
func (s *rpcServer) serve() {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := s.c.peer.rpc.Accept()
		if err != nil {
			return
		}
		conns.Go(func() { s.serveConn(conn) })
	}
}

// serveConn answers on a connection that was authenticated when it was accepted.
func (s *rpcServer) serveConn(conn net.Conn) {
	state := conn.(*tls.Conn).ConnectionState()
	from, err := s.c.peer.identify(&state)
	if err != nil {
		_ = conn.Close()
		return
	}
	err = frames.Serve(s.c.stop, conn, func(ctx context.Context, req frames.Request) frames.Response {
		return s.answer(ctx, from, req)
	})
	s.c.log.Debug("cluster: connection for calls ended", "member", from, "error", err)
}

func (s *rpcServer) handler(path string) Handler {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.handlers[path]
}

// answer runs the handler of a call if the caller is the member that this node knows.
func (s *rpcServer) answer(ctx context.Context, from string, req frames.Request) frames.Response {
	if !s.running.add() {
		return frames.Response{Code: CodeInternal, Body: []byte(ErrShutdown.Error())}
	}
	defer s.running.finish()
	if incarnation, ok := visitor(req.Hello); ok {
		return s.answerVisit(ctx, from, incarnation, req)
	}
	roster := s.c.peer.roster
	theirs, err := roster.admit(from, req.Hello)
	if err != nil {
		s.c.peer.refusals.Do(func() { s.c.log.Warn("cluster: peer call refused", "member", from, "error", err) })
		code := codeRefused
		switch {
		case errors.Is(err, errOtherFounders):
			code = codeOtherFounders
		case errors.Is(err, errRemoved):
			code = CodeRemoved
		case errors.Is(err, errOtherDirectory) && req.Path == JoinPath:
			code = CodeTokenUsed
		}
		return frames.Response{Code: code, Body: []byte(err.Error())}
	}
	if err := roster.left(); err != nil {
		return frames.Response{Code: codeLeft, Body: []byte(err.Error())}
	}
	if !s.c.peer.knows(from) && !strings.HasPrefix(req.Path, internalPaths) {
		return respond(roster, nil, noMember(from))
	}
	if req.Path == JoinPath {
		ctx = context.WithValue(ctx, callerKey{}, theirs.incarnation)
	}
	out, err := s.dispatch(ctx, from, req.Path, req.Body)
	return respond(roster, out, err)
}

func noMember(id string) error {
	return &RemoteError{CodeNoMember, id + " is no member of the cluster as far as this node knows"}
}

// respond makes the response to a call that a handler, or this package, has answered.
func respond(roster *roster, out []byte, err error) frames.Response {
	r := frames.Response{Hello: roster.hello().String()}
	if err == nil {
		r.Body = out
		return r
	}
	remote := &RemoteError{CodeInternal, err.Error()}
	errors.As(err, &remote)
	r.Code, r.Body = cmp.Or(remote.Code, CodeInternal), []byte(remote.Message)
	return r
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

// Call sends body to a member's handler and returns its response. Errors: *RemoteError from the handler,
// ErrUnknownNode, ErrUnreachable (also wraps ctx's error, and the handler may have run). Without a deadline in
// ctx it takes at most 10 s. A call to this node itself runs the handler here.
func (c *Cluster) Call(ctx context.Context, nodeID, path string, body []byte) (out []byte, err error) {
	if nodeID == c.cfg.NodeID {
		return c.callSelf(ctx, path, body)
	}
	p := c.calls.get(nodeID)
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

// peerClient calls one member. It reconnects automatically.
type peerClient struct {
	inFlight chan struct{} // slots for term requests of reads in flight

	id     string
	port   *peerPort
	caller *frames.Caller
}

func newPeerClient(port *peerPort, id string) *peerClient {
	return &peerClient{
		inFlight: make(chan struct{}, 16),
		id:       id,
		port:     port,
		caller: frames.NewCaller(func(ctx context.Context) (net.Conn, error) {
			return port.dialMember(ctx, id, alpnRPC)
		}),
	}
}

// newPeerClientAt calls a node at a certain address.
func newPeerClientAt(port *peerPort, v Voter) *peerClient {
	p := newPeerClient(port, v.ID)
	p.caller = frames.NewCaller(func(ctx context.Context) (net.Conn, error) { return port.dialTLS(ctx, v, alpnRPC) })
	return p
}

func (p *peerClient) close() { p.caller.Close() }

// call sends body to the member, and checks that it is the member that this node knows.
func (p *peerClient) call(ctx context.Context, path string, body []byte) ([]byte, error) {
	out, _, err := p.exchange(ctx, path, body)
	return out, err
}

// exchange returns the answer and the hello of the member. The error of a member's handler is a *RemoteError.
func (p *peerClient) exchange(ctx context.Context, path string, body []byte) ([]byte, hello, error) {
	roster := p.port.roster
	if err := roster.left(); err != nil {
		return nil, hello{}, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, err)
	}
	resp, err := p.caller.Call(ctx, frames.Request{Path: path, Hello: roster.hello().String(), Body: body})
	switch {
	case errors.Is(err, frames.ErrTooLarge):
		return nil, hello{}, &RemoteError{CodeTooLarge, err.Error()}
	case err != nil:
		return nil, hello{}, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, err)
	case resp.Code != "":
		err = &RemoteError{resp.Code, string(resp.Body)}
	}
	if resp.Code == codeRefused || resp.Code == codeOtherFounders || resp.Code == CodeRemoved {
		roster.deniedBy(p.id, string(resp.Body), resp.Code == CodeRemoved)
		return nil, hello{}, err
	}
	if resp.Code == codeLeft {
		roster.noLonger(p.id)
	}
	if err != nil && resp.Hello == "" {
		return nil, hello{}, err // refused before the member looked at the hello of this node
	}
	roster.deniedBy(p.id, "", false)
	theirs, refused := roster.admit(p.id, resp.Hello)
	if refused != nil {
		if p.port.misplaced(p.id) {
			p.caller.Drop()
		}
		return nil, theirs, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, p.id, path, refused)
	}
	if err != nil {
		return nil, theirs, err
	}
	return resp.Body, theirs, nil
}
