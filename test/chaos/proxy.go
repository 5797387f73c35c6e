package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// gate holds the bytes of one direction back while it is shut. TCP stays up, as when packets are lost on the way.
type gate struct {
	mu    sync.Mutex
	open  chan struct{} // closed while the gate is open
	delay time.Duration
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// set opens or shuts the gate.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

func (g *gate) slow(by time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = by
}

// pass waits until the gate is open, and as long as it delays. False: the link was cut first.
func (g *gate) pass(cut <-chan struct{}) bool {
	g.mu.Lock()
	open, delay := g.open, g.delay
	g.mu.Unlock()
	select {
	case <-open:
	case <-cut:
		return false
	}
	if delay == 0 {
		return true
	}
	t := time.NewTimer(delay/2 + rand.N(delay))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-cut:
		return false
	}
}

// link carries the connections that one node makes to another one.
type link struct {
	listener net.Listener
	to       string
	there    *gate // what the node says
	back     *gate // what it is answered

	mu      sync.Mutex
	cut     chan struct{} // closed to end all connections that are open
	refuses bool
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{listener: l, to: to, there: newGate(), back: newGate(), cut: make(chan struct{})}
	go k.serve()
	return k, nil
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) serve() {
	for {
		c, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go k.carry(c)
		}
	}
}

// carry joins a connection with one to the other node until an end closes or the link is cut.
func (k *link) carry(near net.Conn) {
	defer near.Close()
	k.mu.Lock()
	cut, refuses := k.cut, k.refuses
	k.mu.Unlock()
	if refuses {
		return
	}
	far, err := net.DialTimeout("tcp", k.to, 2*time.Second)
	if err != nil {
		return
	}
	defer far.Close()
	ended := make(chan struct{}, 2)
	go func() { pump(far, near, k.there, cut); ended <- struct{}{} }()
	go func() { pump(near, far, k.back, cut); ended <- struct{}{} }()
	select {
	case <-ended:
	case <-cut:
	}
}

func pump(to, from net.Conn, g *gate, cut <-chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !g.pass(cut) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reset ends all connections; with refuse, new ones end at once too.
func (k *link) reset(refuse bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.cut)
	k.cut, k.refuses = make(chan struct{}), refuse
}

// heal lets everything through. Connections that were held back are ended now and then, as a network does that forgot them.
func (k *link) heal(rng bool) {
	k.mu.Lock()
	refused := k.refuses
	k.mu.Unlock()
	if rng || refused {
		k.reset(false)
	}
	for _, g := range []*gate{k.there, k.back} {
		g.slow(0)
		g.set(true)
	}
}

// network is one link per ordered pair of nodes.
type network map[[2]int]*link

// newNetwork makes the links to the peer addresses.
func newNetwork(peers []string) (network, error) {
	n := network{}
	for i := range peers {
		for j := range peers {
			if i == j {
				continue
			}
			k, err := newLink(peers[j])
			if err != nil {
				return nil, errors.Join(err, n.close())
			}
			n[[2]int{i, j}] = k
		}
	}
	return n, nil
}

func (n network) close() error {
	var errs []error
	for _, k := range n {
		errs = append(errs, k.listener.Close())
		k.reset(true)
	}
	return errors.Join(errs...)
}

// deafen stops the bytes that flow from one node to another, over connections of either.
func (n network) deafen(from, to int) {
	n[[2]int{from, to}].there.set(false)
	n[[2]int{to, from}].back.set(false)
}

// each calls f with every other node.
func (n network) each(node, nodes int, f func(other int)) {
	for other := range nodes {
		if other != node {
			f(other)
		}
	}
}

func (n network) heal(rng *rand.Rand) {
	for _, k := range n {
		k.heal(rng.IntN(3) == 0)
	}
}

// flap shuts and opens both ways between a node and the others until ctx ends.
func (n network) flap(ctx context.Context, node, nodes int, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for shut := true; ; shut = !shut {
		n.each(node, nodes, func(o int) {
			for _, pair := range [][2]int{{node, o}, {o, node}} {
				n[pair].there.set(!shut)
				n[pair].back.set(!shut)
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
