package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
)

// fakeNet is real TCP that can be cut between two nodes.
type fakeNet struct {
	mu    sync.Mutex
	cut   map[[2]string]bool
	off   map[string]bool // without power
	conns map[[2]string][]net.Conn
	dials map[[2]string]int
}

func newFakeNet() *fakeNet {
	return &fakeNet{cut: map[[2]string]bool{}, off: map[string]bool{}, conns: map[[2]string][]net.Conn{}, dials: map[[2]string]int{}}
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

func (n *fakeNet) dialer(from string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, to, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dials[[2]string{from, to}]++
		if n.cut[pair(from, to)] || n.off[from] || n.off[to] {
			_ = conn.Close()
			return nil, errors.New("partitioned")
		}
		n.conns[pair(from, to)] = append(n.conns[pair(from, to)], conn)
		return conn, nil
	}
}

// tries returns how often from has dialled to.
func (n *fakeNet) tries(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[[2]string{from, to}]
}

func (n *fakeNet) set(a, b string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[pair(a, b)] = cut
	if cut {
		n.hangUp(pair(a, b))
	}
}

// hangUp closes the connections of two nodes. n.mu must be held.
func (n *fakeNet) hangUp(p [2]string) {
	for _, c := range n.conns[p] {
		_ = c.Close()
	}
	n.conns[p] = nil
}

// power turns the network of one node off or on. When power returns, nobody gets anything more from the node.
func (n *fakeNet) power(id string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.off[id] = !on
	for p := range n.conns {
		if !on && (p[0] == id || p[1] == id) {
			n.hangUp(p)
		}
	}
}
