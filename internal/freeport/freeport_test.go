package freeport

import (
	"net"
	"testing"
)

// TestNoPortTwice: a port that was handed out is not handed out again before the block is through, though nobody
// listens on it.
func TestNoPortTwice(t *testing.T) {
	var b block
	t.Cleanup(func() { _ = b.held.Close() })
	seen := map[int]bool{}
	for range 160 {
		base, err := b.take(3)
		if err != nil {
			t.Fatal(err)
		}
		for port := base; port < base+3; port++ {
			if seen[port] || port <= b.base || port >= b.base+size {
				t.Fatalf("port %d of the block %d was handed out, seen before: %v", port, b.base, seen[port])
			}
			seen[port] = true
		}
	}
}

// TestPortsInUse: ports on which somebody listens are passed over, and the block is gone through again.
func TestPortsInUse(t *testing.T) {
	var b block
	if _, err := b.take(1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.held.Close() })
	used, err := net.Listen("tcp", address(b.base+100))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = used.Close() })
	for range 20 {
		base, err := b.take(90)
		if err != nil {
			t.Fatal(err)
		}
		if base <= b.base+100 && b.base+100 < base+90 {
			t.Fatalf("ports from %d hold %d, which is in use", base, b.base+100)
		}
	}
}

// TestBlocksApart: two processes have no port in common.
func TestBlocksApart(t *testing.T) {
	var one, two block
	for _, b := range []*block{&one, &two} {
		if _, err := b.take(1); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.held.Close() })
	}
	if one.base == two.base {
		t.Fatalf("both hold the block %d", one.base)
	}
}

func TestTooManyPorts(t *testing.T) {
	for _, n := range []int{-1, 0, 251} {
		if base, err := Range(n); err == nil {
			t.Errorf("%d ports: %d", n, base)
		}
	}
}
