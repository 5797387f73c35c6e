package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is one kind of thing that goes wrong. It breaks the cluster for a while and leaves it whole again, except for nodes
// that are down: the recovery starts them.
type fault struct {
	name   string
	mayEnd bool // a node may end by itself meanwhile, as its manual says
	inject func(ctx context.Context, n *nemesis) error
	usable func(n *nemesis) error // nil: always; its error says what is missing
}

// processFaults and the other lists are the deck. Every kind comes once before any comes again.
var processFaults = []fault{
	{name: "kill one", inject: func(ctx context.Context, n *nemesis) error { return n.killed(ctx, n.any()) }},
	{name: "kill leader", inject: func(ctx context.Context, n *nemesis) error { return n.killed(ctx, n.lead(ctx)) }},
	{name: "kill all", inject: func(ctx context.Context, n *nemesis) error { return n.killed(ctx, 0, 1, 2) }},
	{name: "kill while starting", inject: crashLoop},
	{name: "stop in order", inject: rolling},
	{name: "pause one", inject: func(ctx context.Context, n *nemesis) error { return n.paused(ctx, n.any()) }},
	{name: "pause leader", inject: func(ctx context.Context, n *nemesis) error { return n.paused(ctx, n.lead(ctx)) }},
	{name: "pause two", inject: func(ctx context.Context, n *nemesis) error { a, b := n.two(); return n.paused(ctx, a, b) }},
}

var networkFaults = []fault{
	{name: "isolate leader", inject: func(ctx context.Context, n *nemesis) error { return n.isolate(ctx, n.lead(ctx)) }},
	{name: "isolate one", inject: func(ctx context.Context, n *nemesis) error { return n.isolate(ctx, n.any()) }},
	{name: "deaf leader", inject: func(ctx context.Context, n *nemesis) error { return n.deaf(ctx, n.lead(ctx)) }},
	{name: "deaf one", inject: func(ctx context.Context, n *nemesis) error { return n.deaf(ctx, n.any()) }},
	{name: "mute leader", inject: func(ctx context.Context, n *nemesis) error { return n.mute(ctx, n.lead(ctx)) }},
	{name: "mute one", inject: func(ctx context.Context, n *nemesis) error { return n.mute(ctx, n.any()) }},
	{name: "one link", inject: oneLink},
	{name: "bridge", inject: bridge},
	{name: "reset", inject: resets},
	{name: "flap", inject: flaps},
	{name: "slow links", inject: slowLinks},
	{name: "isolate and kill", inject: isolateAndKill},
}

// nemesis breaks things, one after the other.
type nemesis struct {
	*bed
	rng   *rand.Rand
	probe *caller

	root        string // of the tree
	given       bool   // the program of the nodes was given
	previous    string // commit
	previousBin string
}

func (n *nemesis) any() int { return n.rng.IntN(nodes) }

// two different nodes.
func (n *nemesis) two() (int, int) {
	a := n.any()
	return a, (a + 1 + n.rng.IntN(nodes-1)) % nodes
}

// lead is the leader, or any node when there is none.
func (n *nemesis) lead(ctx context.Context) int {
	if l := n.leader(ctx, n.probe.http); l >= 0 {
		return l
	}
	return n.any()
}

// hold lets the fault last.
func (n *nemesis) hold(ctx context.Context, least, most time.Duration) {
	t := time.NewTimer(least + rand.N(most-least))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// hit is the usual length of a fault: shorter and longer than an election.
func (n *nemesis) hit(ctx context.Context) { n.hold(ctx, 500*time.Millisecond, 5*time.Second) }

func (n *nemesis) killed(ctx context.Context, which ...int) error {
	for _, i := range which {
		n.kill(i)
	}
	n.hold(ctx, 100*time.Millisecond, 3*time.Second)
	for _, i := range which {
		if err := n.restart(i); err != nil {
			return err
		}
	}
	return nil
}

// crashLoop kills a node again and again while it starts, replays and catches up.
func crashLoop(ctx context.Context, n *nemesis) error {
	i := n.any()
	for range 4 + n.rng.IntN(4) {
		n.kill(i)
		if err := n.restart(i); err != nil {
			return err
		}
		n.hold(ctx, 5*time.Millisecond, 900*time.Millisecond)
	}
	return nil
}

// rolling stops one node after the other with SIGTERM, as an upgrade does, and waits for each.
func rolling(ctx context.Context, n *nemesis) error {
	for i := range nodes {
		n.stop(ctx, i)
		if code := n.exitCode(i); code != 0 {
			return fmt.Errorf("node-%d was asked to stop and ended with code %d: %s", i+1, code, n.lastLine(i))
		}
		if err := n.restart(i); err != nil {
			return err
		}
		limit, cancel := context.WithTimeout(ctx, recoverLimit)
		err := n.recover(limit, n.probe)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *nemesis) paused(ctx context.Context, which ...int) error {
	for _, i := range which {
		n.signal(i, syscall.SIGSTOP)
	}
	n.hold(ctx, 500*time.Millisecond, 7*time.Second)
	for _, i := range which {
		n.signal(i, syscall.SIGCONT)
	}
	return nil
}

func (n *nemesis) isolate(ctx context.Context, i int) error {
	n.net.each(i, nodes, func(o int) { n.net.deafen(i, o); n.net.deafen(o, i) })
	n.hit(ctx)
	return nil
}

// deaf: the node is heard and hears nothing.
func (n *nemesis) deaf(ctx context.Context, i int) error {
	n.net.each(i, nodes, func(o int) { n.net.deafen(o, i) })
	n.hit(ctx)
	return nil
}

// mute: the node hears and is not heard.
func (n *nemesis) mute(ctx context.Context, i int) error {
	n.net.each(i, nodes, func(o int) { n.net.deafen(i, o) })
	n.hit(ctx)
	return nil
}

// oneLink cuts one direction between two nodes, or the requests of one of them only.
func oneLink(ctx context.Context, n *nemesis) error {
	a, b := n.two()
	if n.rng.IntN(2) == 0 {
		n.net.deafen(a, b)
	} else {
		n.net[[2]int{a, b}].there.set(false)
	}
	n.hit(ctx)
	return nil
}

// bridge: two nodes hear the third one only.
func bridge(ctx context.Context, n *nemesis) error {
	a, b := n.two()
	n.net.deafen(a, b)
	n.net.deafen(b, a)
	n.hit(ctx)
	return nil
}

// resets ends all connections of some links again and again, then refuses new ones for a while.
func resets(ctx context.Context, n *nemesis) error {
	for range 3 + n.rng.IntN(5) {
		for _, k := range n.net {
			if n.rng.IntN(2) == 0 {
				k.reset(false)
			}
		}
		n.hold(ctx, 10*time.Millisecond, 500*time.Millisecond)
	}
	a, b := n.two()
	n.net[[2]int{a, b}].reset(true)
	n.net[[2]int{b, a}].reset(true)
	n.hit(ctx)
	return nil
}

func flaps(ctx context.Context, n *nemesis) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second+rand.N(6*time.Second))
	defer cancel()
	n.net.flap(ctx, n.lead(ctx), nodes, 200*time.Millisecond+rand.N(1800*time.Millisecond))
	return nil
}

// slowLinks delays what two nodes say to each other, or everything that one node says.
func slowLinks(ctx context.Context, n *nemesis) error {
	a, b := n.two()
	by := 20*time.Millisecond + rand.N(400*time.Millisecond)
	for pair, k := range n.net {
		if pair == [2]int{a, b} || n.rng.IntN(2) == 0 && pair[0] == a {
			k.there.slow(by)
			k.back.slow(by)
		}
	}
	n.hit(ctx)
	return nil
}

// isolateAndKill cuts the leader off, kills it while it still believes that it leads, and kills another one when the net is
// whole again.
func isolateAndKill(ctx context.Context, n *nemesis) error {
	i := n.lead(ctx)
	if err := n.isolate(ctx, i); err != nil {
		return err
	}
	n.kill(i)
	n.net.heal(n.rng)
	n.hold(ctx, 100*time.Millisecond, 2*time.Second)
	if err := n.restart(i); err != nil {
		return err
	}
	return n.killed(ctx, (i+1)%nodes)
}
