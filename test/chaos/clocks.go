package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const day = 24 * time.Hour

var clockFaults = []fault{
	{name: "clock of leader", mayEnd: true, usable: hasFaultClock,
		inject: func(ctx context.Context, n *nemesis) error { return n.shifted(ctx, n.lead(ctx)) }},
	{name: "clock of one", mayEnd: true, usable: hasFaultClock,
		inject: func(ctx context.Context, n *nemesis) error { return n.shifted(ctx, n.any()) }},
	{name: "clocks of two", mayEnd: true, inject: clocksOfTwo, usable: hasFaultClock},
}

// steps lists the jumps of a clock.
var steps = []time.Duration{
	-30 * day, -time.Hour, -20 * time.Second, -time.Second, time.Second, 20 * time.Second, time.Hour, 30 * day,
}

func (n *nemesis) step() time.Duration { return steps[n.rng.IntN(len(steps))] }

// shifted lets the clock of a node jump, sometimes to and fro.
func (n *nemesis) shifted(ctx context.Context, i int) error {
	for range 1 + n.rng.IntN(2) {
		by := n.step()
		n.log("the clock of node-%d jumps by %s", i+1, by)
		if err := n.clock(i, by); err != nil {
			return err
		}
		n.hit(ctx)
	}
	return n.clock(i, 0)
}

// clocksOfTwo lets two clocks jump, each by a step of its own: no majority agrees on the time.
func clocksOfTwo(ctx context.Context, n *nemesis) error {
	i, j := n.two()
	if err := n.clock(i, n.step()); err != nil {
		return err
	}
	if err := n.clock(j, n.step()+10*time.Minute); err != nil {
		return err
	}
	n.hit(ctx)
	if err := n.clock(i, 0); err != nil {
		return err
	}
	return n.clock(j, 0)
}

// hasFaultClock: only a build with the tag faultclock has a clock that can be shifted.
func hasFaultClock(n *nemesis) error {
	if n.given {
		return errors.New("the nodes run a program that was given, not one that was built for this")
	}
	if _, err := os.Stat(filepath.Join(n.root, "cmd", "node", "faultclock.go")); err != nil {
		return fmt.Errorf("this tree has no clock that can be shifted: %w", err)
	}
	return nil
}
