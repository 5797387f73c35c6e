package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// peerNames are the other systems of test/peers, in the order of the table.
var peerNames = []string{"etcd", "nats", "postgres"}

// peerCells are the figures of one system, by connections.
type peerCells struct {
	name  string
	sent  map[int][]sample
	cpu   map[int]float64 // seconds of all servers
	child *child          // nil for Recount
	pids  []int
}

// peerAnswer holds the figures of one measurement, as test/peers writes them.
type peerAnswer struct {
	Records  int
	Seconds  float64
	P50, P99 float64
}

// runPeers measures three nodes in turn with other replicated systems of a binary of test/peers.
func runPeers(ctx context.Context, o options, bin string) (err error) {
	b, err := newBench(ctx, o, "recount-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return err
	}
	all := []*peerCells{newPeerCells("recount")}
	defer func() {
		for _, p := range all {
			if p.child != nil {
				p.child.stop()
			}
		}
	}()
	for _, name := range peerNames {
		p, skipped, err := startPeer(bin, name, filepath.Join(b.tmp, name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if skipped != "" {
			fmt.Printf("%s is skipped: %s\n", name, skipped)
			continue
		}
		all = append(all, p)
	}
	for round := range o.rounds + 1 { // the first one warms all of them and does not count
		if round == 1 {
			for _, p := range all {
				p.forget()
			}
		}
		if err := b.peerRound(ctx, all, round); err != nil {
			return err
		}
	}
	reportPeers(os.Stdout, all)
	return nil
}

// peerRound measures every system once on each number of connections.
func (b *bench) peerRound(ctx context.Context, all []*peerCells, round int) error {
	for _, conns := range connections {
		for i := range all {
			p := all[(i+round)%len(all)] // they take turns to be first
			if err := b.peerCell(ctx, p, round, conns); err != nil {
				return fmt.Errorf("%s, %d connections: %w", p.name, conns, err)
			}
		}
	}
	return nil
}

func newPeerCells(name string) *peerCells {
	p := &peerCells{name: name}
	p.forget()
	return p
}

// forget drops what was measured.
func (p *peerCells) forget() { p.sent, p.cpu = map[int][]sample{}, map[int]float64{} }

// startPeer starts one system. skipped tells why it cannot be measured.
func startPeer(bin, name, dir string) (p *peerCells, skipped string, err error) {
	c, err := spawnProgram(bin, name, dir)
	if err != nil {
		return nil, "", err
	}
	var up struct {
		PIDs             []int
		Version, Skipped string
	}
	if err := c.hear(&up); err != nil || up.Skipped != "" {
		c.stop()
		return nil, up.Skipped, err
	}
	p = newPeerCells(strings.TrimSpace(name + " " + up.Version))
	p.child, p.pids = c, up.PIDs
	return p, "", nil
}

// peerCell measures one system on so many connections.
func (b *bench) peerCell(ctx context.Context, p *peerCells, round, conns int) error {
	if p.child == nil {
		return b.recountCell(ctx, p, round, conns)
	}
	before, err := treeSeconds(p.pids)
	if err != nil {
		return err
	}
	if err := p.child.tell(fmt.Sprintf("%d %d", conns, b.span.Milliseconds())); err != nil {
		return err
	}
	var a peerAnswer
	if err := p.child.hear(&a); err != nil {
		return err
	}
	after, err := treeSeconds(p.pids)
	if err != nil {
		return err
	}
	p.add(round, conns, sample{records: a.Records, seconds: a.Seconds, p50: a.P50, p99: a.P99}, after-before)
	return ctx.Err()
}

func (b *bench) recountCell(ctx context.Context, p *peerCells, round, conns int) error {
	requests, err := b.src.Requests(conns, int(float64(b.most)*b.span.Seconds())/conns)
	if err != nil {
		return err
	}
	s, used, err := b.settled(ctx, b.nodesAt, requests, b.span)
	if err != nil {
		return err
	}
	p.add(round, conns, s, used.cpu)
	return nil
}

func (p *peerCells) add(round, conns int, s sample, cpu float64) {
	p.sent[conns] = append(p.sent[conns], s)
	p.cpu[conns] += cpu
	printSample(round-1, p.name, conns, s)
}

// reportPeers prints medians over the rounds, and processor time over all of them.
func reportPeers(w io.Writer, all []*peerCells) {
	for _, conns := range connections {
		fmt.Fprintf(w, "\n%d connections       %10s  %10s  %10s  %20s\n", conns, "records/s", "p50 ms", "p99 ms", "CPU s for 10,000")
		for _, p := range all {
			of, n := p.sent[conns], 0.0
			for _, s := range of {
				n += float64(s.records)
			}
			if n == 0 {
				continue
			}
			fmt.Fprintf(w, "%-20s  %10.0f  %10.1f  %10.1f  %20.2f\n", p.name, median(of, sample.rate),
				median(of, func(s sample) float64 { return s.p50 }), median(of, func(s sample) float64 { return s.p99 }),
				p.cpu[conns]/n*1e4)
		}
	}
}

// treeSeconds is the processor time of processes and of those that they have started, also of the children that have
// ended.
func treeSeconds(roots []int) (sum float64, err error) {
	children, err := processTree()
	if err != nil {
		return 0, err
	}
	for left := roots; len(left) > 0; {
		pid := left[0]
		left = append(left[1:len(left):len(left)], children[pid]...)
		s, err := endedSeconds(pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

// processTree returns the children of every process.
func processTree() (map[int][]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// endedSeconds is the processor time of a process and of its children that have ended.
func endedSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	ticks := 0.0
	for _, text := range fields[11:15] {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks / clockTicks, nil
}
