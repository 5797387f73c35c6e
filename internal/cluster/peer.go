package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

const (
	alpnRPC  = "recount-rpc/1"
	alpnRaft = "recount-raft/1"

	handshakeTimeout = 5 * time.Second
	maxHandshakes    = 64
)

// peerPort is the single TLS listener for peers. ALPN selects Raft streams or calls.
type peerPort struct {
	cfg  *Config
	log  *slog.Logger
	ln   net.Listener
	tls  atomic.Pointer[peerTLS] // for connections from now on
	raft *subListener
	rpc  *subListener

	members *membership
	roster  *roster // nil until the directory is known

	refusals rate.Sometimes // limits log lines, so that a flood of connections does not flood the log

	foundMu sync.Mutex
	found   map[string]string // by member, the address at which it was reached last

	mu     sync.Mutex
	open   map[net.Conn]struct{}    // accepted connections, closed together with the port
	crowds map[crowd][]*trackedConn // those of them that are authenticated, oldest first
	closed bool
	wg     sync.WaitGroup
}

// newPeerPort reads the files. listen opens the port.
func newPeerPort(cfg *Config, members *membership) (*peerPort, error) {
	p := &peerPort{
		cfg:      cfg,
		log:      cfg.Logger,
		members:  members,
		found:    map[string]string{},
		open:     map[net.Conn]struct{}{},
		crowds:   map[crowd][]*trackedConn{},
		refusals: rate.Sometimes{First: 20, Interval: time.Second},
	}
	own, err := p.readTLS()
	if err != nil {
		return nil, err
	}
	if err := own.trusted(time.Now()); err != nil {
		p.log.Warn("cluster: other nodes will refuse the peer certificate of this node", "file", cfg.TLS.Cert,
			"error", err)
	}
	p.tls.Store(own)
	p.raft, p.rpc = newSubListener(cfg.PeerAdvertise), newSubListener(cfg.PeerAdvertise)
	return p, nil
}

func (p *peerPort) listen() error {
	p.ln = p.cfg.listener
	if p.ln == nil {
		ln, err := net.Listen("tcp", p.cfg.PeerBind)
		if err != nil {
			return fmt.Errorf("cluster: peer port: %w", err)
		}
		p.ln = ln
	}
	return nil
}

// nodeOf reads the node id from the URI SANs of a certificate whose chain was verified. The authority signs only
// nodes of this cluster. A node that was down may meet members that its log does not name yet.
func (p *peerPort) nodeOf(cert *x509.Certificate) (string, error) {
	for _, u := range cert.URIs {
		id, ok := strings.CutPrefix(u.String(), NodeURI(p.cfg.ClusterID, ""))
		if ok && certs.CheckID(id) == nil {
			return id, nil
		}
	}
	return "", fmt.Errorf("certificate %q names no member of cluster %q", cert.Subject.CommonName, p.cfg.ClusterID)
}

func (p *peerPort) identify(state *tls.ConnectionState) (string, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return "", errors.New("no peer certificate")
	}
	return p.nodeOf(state.PeerCertificates[0])
}

// dialTLS connects to a member and finishes the TLS handshake.
func (p *peerPort) dialTLS(ctx context.Context, v Voter, alpn string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := p.cfg.dial(ctx, v.ID, v.PeerAddr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, p.clientTLS(v.ID, alpn))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("peer %s: %w", v.ID, err)
	}
	return conn, nil
}

// serve accepts until the port is closed.
func (p *peerPort) serve() {
	var pending unauthenticated
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			if p.isClosed() {
				return
			}
			p.log.Warn("cluster: accept on the peer port", "error", err)
			pause := time.NewTimer(50 * time.Millisecond) // out of file descriptors, most likely
			<-pause.C
			continue
		}
		if !p.track(conn) {
			_ = conn.Close()
			return
		}
		pending.add(conn)
		p.wg.Go(func() {
			defer pending.remove(conn)
			p.admit(&trackedConn{Conn: conn, port: p})
		})
	}
}

// unauthenticated are connections that have not authenticated yet, oldest first. A new one never waits for them. If
// there are too many, the oldest is closed, so that silent connections crowd out each other and no member.
type unauthenticated struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *unauthenticated) add(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == maxHandshakes {
		_ = s.conns[0].Close()
		s.conns = slices.Delete(s.conns, 0, 1)
	}
	s.conns = append(s.conns, conn)
}

func (s *unauthenticated) remove(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.conns, conn); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
}

// admit authenticates one connection and passes it to its protocol.
func (p *peerPort) admit(raw *trackedConn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn := tls.Server(raw, p.serverTLS())
	err := conn.HandshakeContext(ctx)
	if err == nil {
		err = p.pass(raw, conn)
	}
	if err != nil {
		_ = raw.Close()
		p.refusals.Do(func() {
			if !p.isClosed() {
				p.log.Warn("cluster: peer connection refused", "remote", raw.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// pass gives an authenticated connection to its protocol.
func (p *peerPort) pass(raw *trackedConn, conn *tls.Conn) error {
	state := conn.ConnectionState()
	from, err := p.identify(&state)
	if err != nil {
		return err
	}
	switch state.NegotiatedProtocol {
	case alpnRPC:
		if err := p.join(raw, from, alpnRPC); err != nil {
			return err
		}
		return p.rpc.offer(conn)
	case alpnRaft:
		theirs, err := p.acceptStream(raw, conn, from)
		if err != nil {
			return err
		}
		return p.raft.offer(&stream{Conn: conn, id: from, incarnation: theirs.incarnation, roster: p.roster})
	}
	return fmt.Errorf("unknown protocol %q", state.NegotiatedProtocol)
}

// acceptStream counts a stream before it replies, so that of two streams the one that was opened later is the younger.
// A node that was removed accepts none.
func (p *peerPort) acceptStream(raw *trackedConn, conn *tls.Conn, from string) (theirs hello, err error) {
	if err := p.roster.left(); err != nil {
		return theirs, err
	}
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	admit := func(text string) (err error) {
		if theirs, err = p.roster.admit(from, text); err != nil {
			return err
		}
		return p.join(raw, from, alpnRaft)
	}
	if err := acceptHandshake(conn, p.cfg.ClusterID, from, p.roster.hello().String(), admit); err != nil {
		return theirs, err
	}
	return theirs, conn.SetDeadline(time.Time{})
}

func (p *peerPort) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *peerPort) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *peerPort) close() {
	p.mu.Lock()
	p.closed = true
	open := p.open
	p.open = map[net.Conn]struct{}{}
	p.mu.Unlock()
	if p.ln != nil {
		_ = p.ln.Close()
	}
	_ = p.raft.Close()
	_ = p.rpc.Close()
	for conn := range open {
		_ = conn.Close()
	}
	p.wg.Wait()
}

// subListener is a net.Listener fed with authenticated connections of one protocol.
type subListener struct {
	addr  peerAddr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newSubListener(addr string) *subListener {
	return &subListener{addr: peerAddr(addr), conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *subListener) offer(conn net.Conn) error {
	select {
	case l.conns <- conn:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *subListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *subListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *subListener) Addr() net.Addr { return l.addr }

// peerAddr is an advertised host:port.
type peerAddr string

func (peerAddr) Network() string  { return "tcp" }
func (a peerAddr) String() string { return string(a) }

// streamLayer creates connections for Raft.
type streamLayer struct {
	*subListener
	port *peerPort
	stop context.Context
}

// Dial connects to a member, whose id is its address here, and introduces this node.
func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := string(address)
	ctx, cancel := context.WithTimeout(s.stop, timeout)
	defer cancel()
	conn, err := s.port.dialMember(ctx, id, alpnRaft)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	theirs, err := s.port.introduce(conn, id)
	if err != nil {
		s.port.misplaced(id)
		_ = conn.Close()
		return nil, fmt.Errorf("peer %s: %w", id, err)
	}
	opened := &stream{Conn: conn, id: id, incarnation: theirs.incarnation, roster: s.port.roster}
	return opened, conn.SetDeadline(time.Time{})
}

// introduce performs the handshake with member id on a new Raft stream. Each side may refuse the other. A learner gets
// no entries before it is certain which directory it was added from.
func (p *peerPort) introduce(conn net.Conn, id string) (hello, error) {
	theirs, err := offerHandshake(conn, p.cfg.ClusterID, p.cfg.NodeID, p.roster.hello().String())
	var refused *refusedError
	if errors.As(err, &refused) {
		p.roster.deniedBy(id, refused.reason, refused.removed)
	}
	if err != nil {
		return hello{}, err
	}
	p.roster.deniedBy(id, "", false)
	h, err := p.roster.admit(id, theirs)
	if err == nil && p.roster.unsure(id) {
		err = fmt.Errorf("%w: %s: this node has not read yet from which directory it was added", errRefused, id)
	}
	return h, err
}
