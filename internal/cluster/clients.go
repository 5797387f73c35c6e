package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peerClients are the connections of this node to the other members. They follow the configuration: a client is
// made when it is first needed, and closed when its member is gone.
type peerClients struct {
	port *peerPort

	mu     sync.Mutex
	open   map[string]*peerClient
	closed bool
}

func newPeerClients(port *peerPort) *peerClients {
	return &peerClients{port: port, open: map[string]*peerClient{}}
}

// get returns the client of another member, nil for a node that this node does not know.
func (p *peerClients) get(id string) *peerClient {
	if id == p.port.cfg.NodeID || !p.port.knows(id) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	client := p.open[id]
	if client == nil && !p.closed {
		client = newPeerClient(p.port, id)
		p.open[id] = client
	}
	return client
}

// of returns the clients of these members without this node.
func (p *peerClients) of(ids []string) (out []*peerClient) {
	for _, id := range ids {
		if client := p.get(id); client != nil {
			out = append(out, client)
		}
	}
	return out
}

// follow closes the clients of members that are gone, until ctx ends.
func (p *peerClients) follow(ctx context.Context) {
	for {
		select {
		case <-p.port.members.changed:
			p.closeGone()
		case <-ctx.Done():
			return
		}
	}
}

func (p *peerClients) closeGone() {
	var gone []*peerClient
	p.mu.Lock()
	for id, client := range p.open {
		if !p.port.knows(id) {
			gone = append(gone, client)
			delete(p.open, id)
		}
	}
	p.mu.Unlock()
	for _, client := range gone {
		client.close()
	}
}

func (p *peerClients) close() {
	p.mu.Lock()
	p.closed = true
	open := p.open
	p.open = map[string]*peerClient{}
	p.mu.Unlock()
	for _, client := range open {
		client.close()
	}
}

// knows reports whether a node is a member. Before the log has a configuration, the settings name the members.
func (p *peerPort) knows(id string) bool {
	now := p.members.now()
	if now.index == 0 {
		return p.cfg.addrOf(id) != ""
	}
	_, ok := now.member(id)
	return ok
}

// addresses returns where a member may be: where it was last, where the log says, where the settings say.
func (p *peerPort) addresses(id string) (out []string) {
	p.foundMu.Lock()
	last := p.found[id]
	p.foundMu.Unlock()
	m, _ := p.members.now().member(id)
	for _, addr := range []string{last, m.PeerAddr, p.cfg.addrOf(id)} {
		if addr != "" && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out
}

// misplaced forgets where a member was reached last, because another node answers there. It reports whether the log
// says another place.
func (p *peerPort) misplaced(id string) bool {
	p.foundMu.Lock()
	last := p.found[id]
	delete(p.found, id)
	p.foundMu.Unlock()
	m, member := p.members.now().member(id)
	return member && last != "" && m.PeerAddr != last
}

// dialMember connects to a member at one of its addresses. The certificate shows that it is this member. A node that
// knows that it was removed connects to nobody.
func (p *peerPort) dialMember(ctx context.Context, id, alpn string) (net.Conn, error) {
	if err := p.roster.left(); err != nil {
		return nil, err
	}
	at := p.addresses(id)
	if len(at) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNode, id)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var err error
	for i, addr := range at {
		var conn net.Conn
		if conn, err = p.dialShare(ctx, Voter{ID: id, PeerAddr: addr}, alpn, len(at)-i); err == nil {
			p.foundMu.Lock()
			p.found[id] = addr
			p.foundMu.Unlock()
			return conn, nil
		}
	}
	return nil, err
}

// dialShare connects within an equal share of the time that is left for a number of attempts.
func (p *peerPort) dialShare(ctx context.Context, v Voter, alpn string, attempts int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(attempts))
		defer cancel()
	}
	return p.dialTLS(ctx, v, alpn)
}

// byID makes Raft address members by their ids. Their addresses are looked up for every new connection, since
// they may change.
type byID struct{}

func (byID) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}
