// Package freeport hands out loopback ports to the clusters in tests.
//
// A test names the ports of all nodes before it starts the first one, and a node that was stopped wants its port back.
// So a port must stay free while nobody listens on it. Three things could take it:
//
//   - an outgoing connection. The ports here lie below 32768, where systems begin with those.
//   - another test process. A process holds one of the blocks below, and takes all its ports from there.
//   - the same process. It goes through its block from end to end before it hands out a port again.
//
// To hold a block is to listen on its first port:
//
//	12000  12500  13000  ...
//	held   held   free
//
// The port is free again when the process ends, whatever ended it. Ports that other programs use are left out.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

const (
	first = 12_000
	end   = 32_000
	size  = 500
)

var mine block

// block is the block of this process. The zero value holds none yet.
type block struct {
	mu   sync.Mutex
	held net.Listener // on the port base
	base int
	next int // offset of the port to try next, 1..size
}

// Range returns the first of n ports in a row on 127.0.0.1, and nobody listens on any of them. n is at most 250.
func Range(n int) (int, error) {
	return mine.take(n)
}

// Addresses returns n addresses such as 127.0.0.1:12345, each with a port of its own.
func Addresses(n int) ([]string, error) {
	base, err := Range(n)
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		out[i] = address(base + i)
	}
	return out, nil
}

func (b *block) take(n int) (int, error) {
	if n < 1 || n > size/2 {
		return 0, fmt.Errorf("%d ports in a row: a block has %d", n, size)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.hold(); err != nil {
		return 0, err
	}
	for range 2 * size {
		if b.next+n > size {
			b.next = 1
		}
		at := b.next
		used := firstUsed(b.base+at, n)
		if used < 0 {
			b.next += n
			return b.base + at, nil
		}
		b.next += used + 1
	}
	return 0, fmt.Errorf("no %d free ports in a row from %d to %d", n, b.base, b.base+size)
}

// hold finds a block that no other process holds.
func (b *block) hold() error {
	for base := first; b.held == nil && base < end; base += size {
		if base >= 19_000 && base < 20_000 {
			continue // recount drill
		}
		if l, err := net.Listen("tcp", address(base)); err == nil {
			b.held, b.base, b.next = l, base, 1
		}
	}
	if b.held == nil {
		return errors.New("no block of free ports: do other tests run?")
	}
	return nil
}

// firstUsed returns the offset of the first port that is in use among n from base, or -1.
func firstUsed(base, n int) int {
	for i := range n {
		l, err := net.Listen("tcp", address(base+i))
		if err != nil {
			return i
		}
		_ = l.Close()
	}
	return -1
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
