package cluster

import (
	"net"
	"slices"
)

// A node keeps one connection for calls to each member, and a few Raft streams. A member gets no more than these. The
// connections that a partition or a crash left behind make way for its new ones.
const (
	maxCallConns   = 2
	maxRaftStreams = 16
)

// crowd is a kind of connections of one member.
type crowd struct{ member, alpn string }

// join counts a connection among those of an authenticated member. If the member has too many, its oldest one is
// closed, so that a broken or hostile member cannot use up the memory of a node.
func (p *peerPort) join(conn *trackedConn, member, alpn string) error {
	limit := maxCallConns
	if alpn == alpnRaft {
		limit = maxRaftStreams
	}
	in := crowd{member, alpn}
	p.mu.Lock()
	if _, open := p.open[conn.Conn]; !open {
		p.mu.Unlock()
		return net.ErrClosed
	}
	conn.in = in
	conns := append(p.crowds[in], conn)
	p.crowds[in] = conns
	oldest, full := conns[0], len(conns) > limit
	p.mu.Unlock()
	if full {
		_ = oldest.Close()
	}
	return nil
}

// trackedConn removes itself from its port when closed.
type trackedConn struct {
	net.Conn
	port *peerPort
	in   crowd // once it is authenticated
}

func (t *trackedConn) Close() error {
	p := t.port
	p.mu.Lock()
	delete(p.open, t.Conn)
	if i := slices.Index(p.crowds[t.in], t); i >= 0 {
		p.crowds[t.in] = slices.Delete(p.crowds[t.in], i, i+1)
	}
	p.mu.Unlock()
	return t.Conn.Close()
}
